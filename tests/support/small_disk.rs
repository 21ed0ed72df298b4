//! A small disk of a test's own: a tmpfs over a folder, seen only by a process that holds it and by those
//! started with [`SmallDisk::under`]. Needs `unshare` and `nsenter` (util-linux) and no privileges where the
//! system lets users make namespaces.

use super::wait_until;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub struct SmallDisk {
    holder: Child,
    /// The folder as this process reaches it.
    seen_as: PathBuf,
}

impl SmallDisk {
    /// Puts an empty disk of `megabytes` over `folder`. A machine that does not allow it fails the test: the
    /// test would show nothing there.
    pub fn over(folder: &Path, megabytes: u32) -> SmallDisk {
        std::fs::create_dir_all(folder).unwrap();
        let mount = "mount -t tmpfs -o size=$1m small \"$0\" && echo > \"$0/mounted\" && exec sleep infinity";
        let holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", mount])
            .arg(folder)
            .arg(megabytes.to_string())
            .stdin(Stdio::null())
            .spawn();
        let mut holder = holder.expect("`unshare` (util-linux) is needed for a small disk");
        let inside = folder.strip_prefix("/").unwrap();
        let seen_as = Path::new("/proc").join(holder.id().to_string());
        let seen_as = seen_as.join("root").join(inside);
        wait_until("the small disk is there", || {
            let ended = holder.try_wait().unwrap();
            assert!(
                ended.is_none(),
                "this machine lets no test mount a tmpfs in a namespace of its own \
                 (unshare --user --map-root-user --mount): {ended:?}"
            );
            seen_as.join("mounted").exists()
        });
        SmallDisk { holder, seen_as }
    }

    /// Words to run a program with that shall see the disk.
    pub fn under(&self) -> Vec<String> {
        let holder = self.holder.id().to_string();
        let words = ["nsenter", "--preserve-credentials", "--user", "--mount"];
        let words = words.into_iter().chain(["--target", &holder]);
        words.map(str::to_owned).collect()
    }

    /// The folder as this process reaches it.
    pub fn folder(&self) -> &Path {
        &self.seen_as
    }

    /// Fills it to the last byte.
    pub fn fill(&self) {
        let mut ballast = OpenOptions::new();
        let ballast = ballast.create(true).append(true);
        let mut ballast = ballast.open(self.ballast()).unwrap();
        let mut step = 1 << 20;
        while step > 0 {
            match ballast.write(&vec![1; step]) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => step /= 2,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Gives back what `fill` took.
    pub fn free(&self) {
        File::create(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.seen_as.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
