//! A proxy that passes bytes on as they are and writes the messages in them to a JSON-lines capture.

use std::{path::Path, sync::Arc};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufWriter},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    SimError,
    capture::{Direction, Record, direction_of, json_line},
};
use crate::iso8583::{Dialect, Frame, FrameCodec};

/// Lines that may wait for the file; a slow disk then slows the connections down.
const WAITING_LINES: usize = 4096;

/// Passes every connection to `listener` on to `target` until stopped; gives how many messages were
/// written to `out`, which only its owner can read: it holds card data.
pub async fn run_record(
    listener: TcpListener,
    target: String,
    codec: FrameCodec,
    dialect: Arc<Dialect>,
    out: &Path,
    stop: CancellationToken,
) -> Result<u64, SimError> {
    let file = private_file(out).await.map_err(|source| SimError::File {
        path: out.display().to_string(),
        source,
    })?;
    let (lines, received) = mpsc::channel(WAITING_LINES);
    let writing = tokio::spawn(write_lines(file, received));
    let start = Instant::now();
    let mut connections = JoinSet::new();
    loop {
        let client = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let (client, _) = client.map_err(|source| SimError::Io {
            what: "accepting a connection",
            source,
        })?;
        let recorder = Recorder {
            codec,
            dialect: dialect.clone(),
            lines: lines.clone(),
            start,
        };
        connections.spawn(recorder.pass(client, target.clone()));
        while connections.try_join_next().is_some() {}
    }
    connections.shutdown().await;
    drop(lines);
    // The task does not panic.
    let written = writing.await.expect("the capture's task");
    written.map_err(|source| SimError::File {
        path: out.display().to_string(),
        source,
    })
}

async fn private_file(path: &Path) -> std::io::Result<tokio::fs::File> {
    let mut options = tokio::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    options.mode(0o600);
    options.open(path).await
}

async fn write_lines(
    file: tokio::fs::File,
    mut lines: mpsc::Receiver<Record>,
) -> std::io::Result<u64> {
    let mut file = BufWriter::with_capacity(256 * 1024, file);
    let mut count = 0;
    while let Some(record) = lines.recv().await {
        file.write_all(json_line(&record).as_bytes()).await?;
        file.write_all(b"\n").await?;
        count += 1;
        if lines.is_empty() {
            file.flush().await?;
        }
    }
    file.flush().await?;
    Ok(count)
}

#[derive(Clone)]
struct Recorder {
    codec: FrameCodec,
    dialect: Arc<Dialect>,
    lines: mpsc::Sender<Record>,
    start: Instant,
}

impl Recorder {
    /// Both directions of one connection, until either side closes.
    async fn pass(self, client: TcpStream, target: String) {
        let server = match TcpStream::connect(&target).await {
            Ok(server) => server,
            Err(error) => {
                tracing::warn!(%target, %error, "cannot connect; the client is turned away");
                return;
            }
        };
        // Fails only on a socket that is gone, which the first read will say.
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::join!(
            self.clone()
                .pump(from_client, to_server, Direction::Request),
            self.pump(from_server, to_client, Direction::Response),
        );
    }

    async fn pump(
        self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        usual: Direction,
    ) {
        let (mut input, mut frames) = (BytesMut::new(), BytesMut::new());
        let mut readable = true;
        loop {
            input.clear();
            input.reserve(64 * 1024);
            match from.read_buf(&mut input).await {
                Ok(read) if read > 0 => {}
                _ => break,
            }
            if to.write_all(&input).await.is_err() {
                break;
            }
            if readable {
                frames.extend_from_slice(&input);
                readable = self.record(&mut frames, usual).await;
            }
        }
        // The other direction ends by itself when its side sees this.
        let _ = to.shutdown().await;
    }

    /// Records all whole frames; `false` when the stream is not one of frames.
    async fn record(&self, frames: &mut BytesMut, usual: Direction) -> bool {
        let at_us = self.start.elapsed().as_micros() as u64;
        loop {
            let body = match self.codec.cut(frames) {
                Ok(Some(Frame::Message { body, .. })) => body,
                Ok(Some(Frame::KeepAlive)) => continue,
                Ok(None) => return true,
                Err(error) => {
                    tracing::warn!(%error, "no frames: passing bytes on without recording");
                    return false;
                }
            };
            let record = Record {
                at_us: Some(at_us),
                direction: Some(direction_of(&self.dialect, &body).unwrap_or(usual)),
                bytes: body.to_vec(),
            };
            if self.lines.send(record).await.is_err() {
                return false;
            }
        }
    }
}
