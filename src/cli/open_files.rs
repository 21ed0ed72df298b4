//! How many files and sockets the process may have open, and connections that fit into that.

use crate::config::Config;
use anyhow::{Result, ensure};
use rustix::process::{Resource, getrlimit, setrlimit};

/// Files and sockets beside those of connections and of calls to customers: journal, tables, archive, spare connections.
const OTHER_OPEN_FILES: u64 = 192;

/// Below it the switch has what it needs itself, about 60, and nothing for those who ask it.
const OPEN_FILES_MIN: u64 = 96;

/// Lets this process open as many files and sockets as the system allows it at all: connections are bounded by the
/// configuration, and the usual soft limit of 1,024 lies far below that bound. Where not all of them fit, the bounds are
/// lowered: a connection is refused better than a file of the journal. Where hardly any would fit, this fails.
pub fn fit(config: &mut Config) -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "cannot raise the limit of open files (ulimit -n)");
        }
    }
    let Some(open_files_max) = getrlimit(Resource::Nofile).current else {
        return Ok(());
    };
    ensure!(
        open_files_max >= OPEN_FILES_MIN,
        "this process may open {open_files_max} files and sockets (ulimit -n), and the switch needs {OPEN_FILES_MIN} at the \
         least, 1,024 for a few hundred connections: raise the limit"
    );
    let of_networks = config.network.iter().map(|network| network.connections_max);
    let of_networks: Vec<usize> = of_networks.collect();
    let connections = of_networks.iter().sum::<usize>() + config.http.connections_max;
    // Webhooks, and as many that ask for decisions.
    let calls = 2 * config.webhooks.calls_at_once_max;
    let wanted = (connections + calls) as u64 + OTHER_OPEN_FILES;
    if open_files_max >= wanted {
        return Ok(());
    }
    let room = open_files_max.saturating_sub(OTHER_OPEN_FILES);
    let room = room.max(open_files_max / 4) as usize;
    let calls = calls.min(room / 4);
    config.webhooks.calls_at_once_max = (calls / 2).max(1);
    let room = room - calls;
    let (of_http, of_networks) = shared(room, config.http.connections_max, &of_networks);
    tracing::warn!(
        open_files_max,
        wanted,
        of_http,
        ?of_networks,
        calls_at_once = config.webhooks.calls_at_once_max,
        "fewer files can be opened (ulimit -n) than all connections and calls that the configuration allows would need: \
         `connections_max` of the REST interface and of networks, and `calls_at_once_max` of webhooks, are lowered to what fits; \
         raise the limit to have them all"
    );
    config.http.connections_max = of_http;
    for (network, fits) in config.network.iter_mut().zip(of_networks) {
        network.connections_max = fits;
    }
    Ok(())
}

/// What of `room` the REST interface and each network get: networks at least three quarters, in equal parts where they
/// want more, and each its connection.
fn shared(room: usize, http_max: usize, networks: &[usize]) -> (usize, Vec<usize>) {
    let mut left = room - http_max.min(room / 4);
    let mut by_size: Vec<usize> = (0..networks.len()).collect();
    by_size.sort_by_key(|place| networks[*place]);
    let mut of_networks = vec![0; networks.len()];
    for (done, place) in by_size.into_iter().enumerate() {
        let part = left / (networks.len() - done);
        of_networks[place] = networks[place].min(part).max(1);
        left = left.saturating_sub(of_networks[place]);
    }
    let of_http = room.saturating_sub(of_networks.iter().sum());
    (http_max.min(of_http).max(1), of_networks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_is_shared_and_nobody_is_left_without() {
        assert_eq!(shared(448, 1_000, &[16_384]), (112, vec![336]));
        assert_eq!(shared(448, 1_000, &[16_384, 40]), (112, vec![296, 40]));
        assert_eq!(shared(448, 1_000, &[16_384, 16_384]), (112, vec![168, 168]));
        // What networks do not want is the interface's.
        assert_eq!(shared(448, 1_000, &[100]), (348, vec![100]));
        assert_eq!(shared(448, 1_000, &[]), (448, vec![]));
        assert_eq!(shared(448, 20, &[16_384]), (20, vec![428]));
        assert_eq!(shared(2, 1_000, &[9, 9, 9]), (1, vec![1, 1, 1]));
    }
}
