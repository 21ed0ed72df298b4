#!/usr/bin/env bash
# Shows that the tests can fail: breaks a copy of the tree in one place at a time, runs the test that must notice, and
# says whether it did. Exit code 1 if one did not.
#
# Usage: tools/show_mutations.sh [WORD]     (only those whose title has the word)
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
(cd "$here" && git ls-files -z --cached --others --exclude-standard | xargs -0 tar cf - --ignore-failed-read) | tar xf - -C "$copy"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$here/target/mutations}
missed=0

# Title, file, perl expression that has to change the file, words for cargo test.
mutate() {
  local title=$1 file=$2 change=$3
  shift 3
  case "$title" in *"${wanted:-}"*) ;; *) return 0 ;; esac
  perl -0pi -e "$change" "$copy/$file"
  if cmp -s "$here/$file" "$copy/$file"; then
    echo "STALE     $title: the change no longer fits $file"
    missed=1
  elif ! (cd "$copy" && cargo test --quiet "$@" --no-run) > "$copy/build.log" 2>&1; then
    echo "STALE     $title: it no longer builds"
    tail -n 20 "$copy/build.log"
    missed=1
  elif (cd "$copy" && timeout 300 cargo test --quiet "$@") > /dev/null 2>&1; then
    echo "MISSED    $title: cargo test $* passes"
    missed=1
  else
    echo "caught    $title: by cargo test $*"
  fi
  cp -p "$here/$file" "$copy/$file"
  touch "$copy/$file"
}
wanted=${1:-}

mutate "a group is not synced" src/journal/writer.rs \
  's/storage::sync\(&\*self\.live\.file\)/Ok::<(), std::io::Error>(())/' --test journal_crash a_crash_at_every_call_loses
mutate "answers leave before the sync" src/journal/run.rs \
  's/let committed = self\.writer\.commit\(/let early = self.writer.durable() + u64::from(records);\n            self.taken.releases.drain(..).for_each(|release| release.release(early));\n            let committed = self.writer.commit(/' --test journal_crash a_crash_at_every_call_loses
mutate "a shard does not hold its answers" src/shard/worker.rs \
  's/self\.last_sequence = self\.journal\.append\(records, Box::new\(held\)\)\?\.last;/for (sink, replies) in held.0 { sink.deliver(replies); }\n        self.last_sequence = self.journal.append(records, Box::new(HeldReplies::default()))?.last;/' \
  --test disk_trouble while_a_sync_hangs
mutate "a new segment's name is not synced" src/journal/segment.rs \
  's/(storage\.rename\(&temporary, &plain_name\(number\)\)\?;\n)\s*storage\.sync_directory\(\)\?;/$1/' --test journal_crash a_crash_at_every_call_loses
mutate "the checksum of the records is ignored" src/journal/frame.rs \
  's/if crc32c::crc32c\(&bytes\[\.\.length\]\) != header\.payload_crc/if false/' --test journal_damage every_flipped_bit
mutate "the chain of frames is ignored" src/journal/scan.rs \
  's/header\.previous != link\.chain \|\| //' --test journal_damage a_segment_of_another_history
mutate "a segment may be shorter than it was made" src/journal/scan.rs \
  's/found != header\.segment_length/found > header.segment_length/' --test journal_damage a_segment_cut_to_any_length
mutate "a failed sync is passed over" src/journal/writer.rs \
  's/storage::sync\(&\*self\.live\.file\)\n\s*\.map_err\(\|error\| JournalError::io\("sync", file\(\)\)\(error\)\)\?;/let _ = storage::sync(&*self.live.file);/' \
  --test journal_crash an_io_error_at_every_call
mutate "a repeat is not looked for" src/engine/rules/repeat.rs \
  's/first\.filter\(\|first\| first\.root == command\.root\)/first.filter(|_| false)/' --test engine_oracle the_engine_decides_as_the_naive_one_does
mutate "work is queued behind a hanging disk" src/shard/switchboard.rs \
  's/priority == Priority::Ordinary && self\.journal\.is_stalled\(\)/priority == Priority::Ordinary \&\& false/' --test disk_trouble while_a_sync_hangs
mutate "a full disk refuses nothing" src/shard/worker.rs \
  's/if space == Space::Reserve/if space == Space::Ample \&\& space == Space::Reserve/' --test disk_trouble a_full_disk
mutate "a connection that a full disk broke is used again" src/store/sqlite.rs \
  's/Ok\(!connection\.is_in_transaction\(\)\)/Ok(true)/' --test full_disk a_full_disk_refuses
mutate "the position is not moved with its batch" src/store/projection.rs \
  's/(self\.move_position\(&mut writer, batch\)\.await\?;)/if batch.last % 7 > 0 { $1 }/' --test store_suite killed_at_any_step
exit "$missed"
