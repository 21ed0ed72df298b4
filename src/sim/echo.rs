//! An echo server: cuts frames and sends each back as it came. What a switch could reach at most on
//! this machine, and what this simulator can offer.

use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::SimError;
use crate::iso8583::{Frame, FrameCodec};

/// Echoes on every connection that comes, for as long as it is polled.
pub async fn run_echo(listener: TcpListener, codec: FrameCodec) -> Result<(), SimError> {
    loop {
        let (stream, _) = listener.accept().await.map_err(|source| SimError::Io {
            what: "accepting a connection",
            source,
        })?;
        tokio::spawn(echo(stream, codec));
    }
}

async fn echo(mut stream: TcpStream, codec: FrameCodec) {
    // Fails only on a socket that is gone, which the first read will say.
    let _ = stream.set_nodelay(true);
    let (mut input, mut output) = (BytesMut::new(), BytesMut::new());
    loop {
        input.reserve(64 * 1024);
        match stream.read_buf(&mut input).await {
            Ok(read) if read > 0 => {}
            _ => return,
        }
        while let Ok(Some(frame)) = codec.cut(&mut input) {
            let Frame::Message { header, body } = frame else {
                continue;
            };
            let open = codec.begin_frame(&mut output, &header);
            output.extend_from_slice(&body);
            if codec.end_frame(&mut output, open).is_err() {
                return;
            }
        }
        if stream.write_all_buf(&mut output).await.is_err() {
            return;
        }
    }
}
