//! Tests of connections whose answers are read slowly, over sockets of this machine.

use super::*;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

/// More than the buffers of both sockets hold.
const ANSWER_BYTES: usize = 32 << 20;

struct Served {
    address: SocketAddr,
    stop: CancellationToken,
    server: tokio::task::JoinHandle<()>,
}

async fn start(bounds: Bounds) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let big = async || "x".repeat(ANSWER_BYTES);
    let router = Router::new().route("/big", get(big));
    let stop = CancellationToken::new();
    let stopped = stop.clone().cancelled_owned();
    let server = tokio::spawn(serve(listener, router, bounds, stopped));
    Served {
        address,
        stop,
        server,
    }
}

/// Has asked, and read the head of the answer with what came beside it.
async fn asked(served: &Served) -> (TcpStream, usize) {
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let request = b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = vec![0; 4_096];
    let length = stream.read(&mut answer).await.unwrap();
    let head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    (stream, length - head.unwrap() - 4)
}

/// How much of the answer comes, in all.
async fn rest(stream: &mut TcpStream, mut length: usize) -> usize {
    let mut bytes = vec![0; 1 << 20];
    while length < ANSWER_BYTES {
        match stream.read(&mut bytes).await {
            Ok(0) | Err(_) => break,
            Ok(more) => length += more,
        }
    }
    length
}

/// Long enough for everything here.
async fn soon() {
    tokio::time::sleep(Duration::from_millis(300)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_read_slowly_is_not_cut_off_for_others_nor_by_a_stop() {
    let served = start(Bounds {
        connections_max: 4,
        connections_per_address_max: 4,
    })
    .await;
    let (mut stream, length) = asked(&served).await;
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(TcpStream::connect(served.address).await.unwrap());
    }
    soon().await;
    assert_eq!(rest(&mut stream, length).await, ANSWER_BYTES);
    // Now it is idle, and the next one takes its place.
    for _ in 0..4 {
        idle.push(TcpStream::connect(served.address).await.unwrap());
    }
    let read = timeout(Duration::from_secs(5), stream.read(&mut [0])).await;
    assert_eq!(read.unwrap().unwrap_or_default(), 0);
    let (mut stream, length) = asked(&served).await;
    served.stop.cancel();
    soon().await;
    assert_eq!(rest(&mut stream, length).await, ANSWER_BYTES);
    let ended = timeout(Duration::from_secs(5), served.server).await;
    ended.unwrap().unwrap();
}
