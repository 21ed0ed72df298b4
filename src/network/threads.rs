//! The threads that serve connections, each with a runtime of its own. A connection stays on the thread
//! that accepted it, so no two threads wake each other for one message. What is served lives elsewhere.

use super::listener::{self, Peer};
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ThreadSettings {
    /// Threads for the connections of all networks; 0 is half of the processors.
    pub threads: usize,
}

impl ThreadSettings {
    fn count(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, |all| all.get().div_ceil(2)),
            threads => threads,
        }
    }
}

pub struct NetworkThreads {
    threads: Vec<(Handle, JoinHandle<()>)>,
    stop: CancellationToken,
    /// Where the next connector goes.
    next: usize,
}

impl NetworkThreads {
    pub fn start(settings: ThreadSettings) -> std::io::Result<NetworkThreads> {
        let stop = CancellationToken::new();
        let mut threads = Vec::new();
        for number in 0..settings.count() {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let (handle, stopped) = (runtime.handle().clone(), stop.clone());
            let thread = std::thread::Builder::new()
                .name(format!("network-{number}"))
                .spawn(move || runtime.block_on(stopped.cancelled()))?;
            threads.push((handle, thread));
        }
        let next = 0;
        Ok(NetworkThreads {
            threads,
            stop,
            next,
        })
    }

    /// Serves a network until told to drain: every thread accepts from its socket, whichever is free;
    /// connections that we make belong to one thread.
    pub fn serve(
        &mut self,
        peer: &Arc<Peer>,
        listener: Option<TcpListener>,
        drain: &watch::Receiver<bool>,
        tasks: &TaskTracker,
    ) -> std::io::Result<()> {
        let run = |handle: &Handle, listener| {
            let run = listener::run(peer.clone(), listener, drain.clone(), tasks.clone());
            tasks.spawn_on(run, handle);
        };
        let Some(listener) = listener else {
            let (handle, _) = &self.threads[self.next % self.threads.len()];
            self.next += 1;
            run(handle, None);
            return Ok(());
        };
        let listener = listener.into_std()?;
        for (handle, _) in &self.threads {
            let _belongs_to = handle.enter();
            run(handle, Some(TcpListener::from_std(listener.try_clone()?)?));
        }
        Ok(())
    }

    /// Ends the threads, with whatever they still serve.
    pub fn stop(self) {
        self.stop.cancel();
        for (_, thread) in self.threads {
            // A connection that panicked was its own loss; the thread has nothing to give back.
            let _ = thread.join();
        }
    }
}
