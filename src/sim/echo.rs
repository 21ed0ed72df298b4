//! Peers that decide nothing: one sends every frame back as it came, one approves every request. They
//! show what a switch could reach at most on this machine, and what this simulator can offer.

use std::sync::Arc;

use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{SimError, client::answer_management};
use crate::iso8583::{Dialect, Encoder, Frame, FrameCodec, Message};

/// Serves every connection that comes, for as long as it is polled. With `approve`, requests of that
/// dialect are approved; without, frames are sent back as they came.
pub async fn run_echo(
    listener: TcpListener,
    codec: FrameCodec,
    approve: Option<Arc<Dialect>>,
) -> Result<(), SimError> {
    loop {
        let (stream, _) = listener.accept().await.map_err(|source| SimError::Io {
            what: "accepting a connection",
            source,
        })?;
        tokio::spawn(serve(stream, codec, approve.clone()));
    }
}

async fn serve(mut stream: TcpStream, codec: FrameCodec, approve: Option<Arc<Dialect>>) {
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
            let written = match &approve {
                None => {
                    output.extend_from_slice(&body);
                    Some(())
                }
                Some(dialect) => approval(dialect, &body, &mut output),
            };
            if written.is_none() || codec.end_frame(&mut output, open).is_err() {
                return;
            }
        }
        if stream.write_all_buf(&mut output).await.is_err() {
            return;
        }
    }
}

/// Approves a request; `None` when it cannot be answered.
fn approval(dialect: &Dialect, body: &[u8], out: &mut BytesMut) -> Option<()> {
    let request = Message::parse(dialect, body).ok()?;
    let mti = request.mti().response()?;
    let code = match mti.class() {
        1 | 2 => dialect.response_code("approved")?,
        4 => dialect.response_code("reversal_accepted")?,
        8 => return answer_management(&request, out).ok(),
        _ => return None,
    };
    let mut encoder = Encoder::new(dialect, out, mti);
    let mirrored = dialect.mirrored_fields(mti.class());
    let (before, after) = mirrored.split_at(mirrored.partition_point(|field| *field < 38));
    for field in before {
        encoder.mirror(&request, *field).ok()?;
    }
    if mti.class() != 4 {
        encoder.text(38, "000001").ok()?;
    }
    encoder.text(39, code).ok()?;
    for field in after {
        encoder.mirror(&request, *field).ok()?;
    }
    encoder.finish();
    Some(())
}
