//! Where connections come from: a listening socket, or connecting out and trying again.

use super::connection::{Ended, serve};
use super::dialect_map::{DialectMap, DialectMapError};
use super::settings::{NetworkSettings, SettingsError};
use super::stats::NetworkStats;
use super::translate::Translator;
use crate::iso8583::{Dialect, FrameCodec, SpecError};
use crate::security::{PanIndex, Vault};
use crate::shard::switchboard::Switchboard;
use arrayvec::ArrayString;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// Connections that may wait to be accepted. One beyond it tries again after a second only.
const BACKLOG: u32 = 4_096;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(10);

/// The first and the longest wait before connecting again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// All that the connections of one network share.
pub struct Peer {
    pub settings: NetworkSettings,
    pub codec: FrameCodec,
    pub translator: Translator,
    pub switchboard: Arc<Switchboard>,
    pub stats: Arc<NetworkStats>,
}

#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Dialect(#[from] DialectMapError),
    #[error("network `{network}`: {error}")]
    Spec { network: String, error: SpecError },
    #[error(
        "network `{network}`: there is no dialect `{dialect}`; built in are {known}, others go into `dialect_file`"
    )]
    UnknownDialect {
        network: String,
        dialect: String,
        known: String,
    },
    #[error("network `{network}`: cannot read the dialect file {file}: {error}")]
    DialectFile {
        network: String,
        file: String,
        error: std::io::Error,
    },
    #[error(
        "network `{network}`: cannot listen on {address}: {error}; is another process using it?"
    )]
    Listen {
        network: String,
        address: String,
        error: std::io::Error,
    },
}

impl NetworkError {
    /// The key of the section that is wrong.
    pub fn key(&self) -> &'static str {
        match self {
            NetworkError::Settings(error) => error.key,
            NetworkError::UnknownDialect { .. } => "dialect",
            NetworkError::Dialect(_)
            | NetworkError::Spec { .. }
            | NetworkError::DialectFile { .. } => "dialect_file",
            NetworkError::Listen { .. } => "listen",
        }
    }
}

/// Compiles what a network's settings name: dialect, maps and framing. Touches no socket.
pub fn compile(settings: &NetworkSettings) -> Result<(FrameCodec, DialectMap), NetworkError> {
    let codec = settings.frame_codec()?;
    let network = || settings.name.clone();
    let dialect = match &settings.dialect_file {
        Some(file) => {
            let text =
                std::fs::read_to_string(file).map_err(|error| NetworkError::DialectFile {
                    network: network(),
                    file: file.clone(),
                    error,
                })?;
            Dialect::from_toml(file, &text).map_err(|error| NetworkError::Spec {
                network: network(),
                error,
            })?
        }
        None => {
            Dialect::builtin(&settings.dialect).ok_or_else(|| NetworkError::UnknownDialect {
                network: network(),
                dialect: settings.dialect.clone(),
                known: Dialect::builtin_names().join(", "),
            })?
        }
    };
    Ok((codec, DialectMap::compile(Arc::new(dialect))?))
}

impl Peer {
    pub fn new(
        settings: NetworkSettings,
        vault: &Vault,
        pan_index: Arc<PanIndex>,
        switchboard: Arc<Switchboard>,
    ) -> Result<Arc<Peer>, NetworkError> {
        let (codec, map) = compile(&settings)?;
        let translator = Translator {
            map,
            // `frame_codec` has checked the length.
            network: ArrayString::from(&settings.name).unwrap_or_default(),
            pan_hasher: vault.pan_hasher().clone(),
            match_key_hasher: vault.match_key_hasher().clone(),
            cvk: vault.cvk().clone(),
            pan_index,
        };
        Ok(Arc::new(Peer {
            settings,
            codec,
            translator,
            switchboard,
            stats: Arc::default(),
        }))
    }

    /// Now in UTC as `YYMMDDhhmmss`.
    pub(super) fn utc_now(&self) -> String {
        let now = jiff::Timestamp::from_millisecond(self.switchboard.clock.now().0);
        now.unwrap_or(jiff::Timestamp::UNIX_EPOCH)
            .strftime("%y%m%d%H%M%S")
            .to_string()
    }
}

/// Opens the listening socket of a network.
pub async fn bind(settings: &NetworkSettings) -> Result<Option<TcpListener>, NetworkError> {
    let Some(address) = &settings.listen else {
        return Ok(None);
    };
    let listener = open(address).await.map_err(|error| NetworkError::Listen {
        network: settings.name.clone(),
        address: address.clone(),
        error,
    })?;
    Ok(Some(listener))
}

async fn open(address: &str) -> std::io::Result<TcpListener> {
    let mut refused = std::io::ErrorKind::AddrNotAvailable.into();
    for address in tokio::net::lookup_host(address).await? {
        let socket = match address.is_ipv4() {
            true => TcpSocket::new_v4()?,
            false => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        match socket.bind(address).and_then(|()| socket.listen(BACKLOG)) {
            Ok(listener) => return Ok(listener),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// Accepts or makes connections until told to drain; the tracker knows when the last one has ended.
pub async fn run(
    peer: Arc<Peer>,
    listener: Option<TcpListener>,
    drain: watch::Receiver<bool>,
    tasks: TaskTracker,
) {
    match listener {
        Some(listener) => accept(peer, listener, drain, tasks).await,
        None => {
            for _ in 0..peer.settings.connections.max(1) {
                tasks.spawn(keep_connected(peer.clone(), drain.clone()));
            }
        }
    }
}

async fn accept(
    peer: Arc<Peer>,
    listener: TcpListener,
    mut drain: watch::Receiver<bool>,
    tasks: TaskTracker,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = drain.wait_for(|drain| *drain) => return,
        };
        match accepted {
            Ok((stream, address)) => {
                let Some(place) = Place::take(&peer) else {
                    refuse(&peer, &address);
                    continue;
                };
                tasks.spawn(one_session(place, stream, drain.clone()));
            }
            // Out of descriptors, most likely: those that end free some.
            Err(error) => {
                tracing::warn!(network = %peer.settings.name, %error, "cannot accept a connection");
                tokio::time::sleep(BACKOFF.0).await;
            }
        }
    }
}

/// The first one too many is worth a line; all are counted.
fn refuse(peer: &Peer, address: &dyn std::fmt::Display) {
    if peer.stats.sessions_refused.fetch_add(1, Ordering::Relaxed) == 0 {
        let open = peer.settings.connections_max;
        tracing::warn!(network = %peer.settings.name, peer = %address, open, "refused a connection: `connections_max` are open (further ones are counted only)");
    }
}

/// How long to wait before connecting again.
struct Backoff(Duration);

impl Backoff {
    /// `held` is how long the last connection did: one that is taken only to be dropped is not there yet.
    fn after(&mut self, held: Duration) -> Duration {
        if held >= self.0 {
            self.0 = BACKOFF.0;
        }
        let wait = self.0;
        self.0 = (wait * 2).min(BACKOFF.1);
        wait
    }
}

async fn keep_connected(peer: Arc<Peer>, mut drain: watch::Receiver<bool>) {
    let address = peer.settings.connect.clone().unwrap_or_default();
    let network = &peer.settings.name;
    let mut backoff = Backoff(BACKOFF.0);
    loop {
        let connected = tokio::select! {
            connected = tokio::time::timeout(CONNECT, TcpStream::connect(&address)) => connected,
            _ = drain.wait_for(|drain| *drain) => return,
        };
        let connected = connected.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
        let held = match connected.map(|stream| (stream, Place::take_any(&peer))) {
            Ok((stream, place)) => {
                let connected_at = Instant::now();
                one_session(place, stream, drain.clone()).await;
                connected_at.elapsed()
            }
            Err(error) => {
                tracing::warn!(%network, %address, %error, "cannot connect; trying again");
                Duration::ZERO
            }
        };
        tokio::select! {
            () = tokio::time::sleep(backoff.after(held)) => {}
            _ = drain.wait_for(|drain| *drain) => return,
        }
    }
}

/// One of the connections that a network may have open; given back however the connection ends.
struct Place(Arc<Peer>);

impl Place {
    /// A place, while there is one.
    fn take(peer: &Arc<Peer>) -> Option<Place> {
        let place = Place::take_any(peer);
        let open = peer.stats.sessions_open.load(Ordering::Relaxed);
        (open <= peer.settings.connections_max as u64).then_some(place)
    }

    fn take_any(peer: &Arc<Peer>) -> Place {
        NetworkStats::add(&peer.stats.sessions_open, 1);
        Place(peer.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.stats.sessions_open.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn one_session(place: Place, stream: TcpStream, drain: watch::Receiver<bool>) {
    let peer = &place.0;
    let network = &peer.settings.name;
    let address = stream
        .peer_addr()
        .map_or_else(|_| "?".into(), |address| address.to_string());
    if let Err(error) = prepare(&stream) {
        tracing::warn!(%network, peer = %address, %error, "cannot set up a connection");
        return;
    }
    NetworkStats::add(&peer.stats.sessions_total, 1);
    tracing::debug!(%network, peer = %address, "connected");
    let ended = serve(peer.clone(), stream, drain).await;
    match ended {
        Ended::ByPeer | Ended::Drained => {
            tracing::debug!(%network, peer = %address, "disconnected: {ended}")
        }
        _ => tracing::info!(%network, peer = %address, "disconnected: {ended}"),
    }
}

/// No delay for small answers, and the kernel finds out about peers that are gone.
fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let keep_alive = socket2::TcpKeepalive::new().with_time(Duration::from_secs(60));
    socket2::SockRef::from(stream).set_tcp_keepalive(&keep_alive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_begin_anew_after_a_connection_that_held() {
        let mut backoff = Backoff(BACKOFF.0);
        let mut waits = |held_ms: u64| backoff.after(Duration::from_millis(held_ms)).as_millis();
        let refused: Vec<_> = (0..11).map(|_| waits(0)).collect();
        let doubled = [
            100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000,
        ];
        assert_eq!(refused, doubled);
        assert_eq!(
            (waits(29_999), waits(30_000), waits(50)),
            (30_000, 100, 200)
        );
    }
}
