//! Connections of the REST interface: how many there may be, and how long one may hold still. What is answered lives in
//! `routes`.

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use socket2::SockRef;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower_service::Service;

/// How long the head of a request may take, the pause before it too: longer than load balancers keep connections
/// that nothing is asked on (60 s at the common ones), so that they end them and not we.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);

/// The first one of a connection has to be there sooner: whoever opens one has something to ask.
const FIRST_HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Who takes nothing of an answer for so long is cut off.
const UNREAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long to wait where the system gives no connection: those that end free some.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Serves until `shutdown` is done and the requests under way are answered. Beyond `connections_max` connections the next
/// waits until one ends.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    connections_max: usize,
    shutdown: impl Future<Output = ()>,
) {
    let room = Arc::new(Semaphore::new(connections_max));
    let open = GracefulShutdown::new();
    tokio::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &room) => accepted,
            () = &mut shutdown => break,
        };
        let Some((stream, address, place)) = accepted else {
            continue;
        };
        let router = router.clone();
        let has_asked = Arc::new(AtomicBool::new(false));
        let asks = has_asked.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            asks.store(true, Ordering::Relaxed);
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(address));
            router.clone().call(request)
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT);
        let connection = open.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            tokio::pin!(connection);
            let first = tokio::time::timeout(FIRST_HEAD_TIMEOUT, &mut connection).await;
            // Whoever hung up or held still was told all that there was to say.
            if first.is_err() && has_asked.load(Ordering::Relaxed) {
                let _ = connection.await;
            }
            drop(place);
        });
    }
    drop(listener);
    open.shutdown().await;
}

/// The next connection, with its place among those that there may be.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    // It is never closed.
    let place = room.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, address)) => {
            // Without them it works, only slower or for longer.
            let _ = stream.set_nodelay(true);
            let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(UNREAD_TIMEOUT));
            Some((stream, address, place))
        }
        Err(error) => {
            tracing::debug!(%error, "a connection of the REST interface was not accepted");
            tokio::time::sleep(AGAIN_AFTER).await;
            None
        }
    }
}
