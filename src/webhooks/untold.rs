//! Has the cards told of that the change of a linked object has left: one piece at a time, and the next once that is in the
//! tables, so that the events of others come in between. Which cards those are is in `store/fan_out.rs`.

use super::ask;
use super::service::Shared;
use crate::engine::link_states::TellCardsOfLink;
use crate::engine::registry::RegistryAction;
use crate::shard::reply::Reply;
use crate::shard::request::RegistryRequest;
use crate::store::events::UntoldLinkChangeRow;
use std::sync::Arc;
use std::time::Duration;

/// How often is looked where nothing is left, and where something is under way.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Where the telling stands.
#[derive(Default)]
struct Turns {
    /// Asked for: where it is still so, it is not in the tables yet.
    asked: Option<UntoldLinkChangeRow>,
}

impl Turns {
    /// What is to be asked for; the programs take turns.
    fn next<'a>(&self, untold: &'a [UntoldLinkChangeRow]) -> Option<&'a UntoldLinkChangeRow> {
        let Some(asked) = &self.asked else {
            return untold.first();
        };
        if untold.contains(asked) {
            return None;
        }
        let mut later = untold
            .iter()
            .filter(|change| change.program_id > asked.program_id);
        later.next().or(untold.first())
    }
}

/// Until the thread is to stop.
pub(super) async fn tell(shared: Arc<Shared>) {
    let mut turns = Turns::default();
    while !shared.stop.is_cancelled() {
        let untold = tokio::select! {
            untold = shared.store.untold_link_changes() => untold.unwrap_or_default(),
            // A database may say nothing for ever.
            () = shared.stop.cancelled() => return,
        };
        let pause = match turns.next(&untold) {
            Some(change) if ask_for(&shared, change).await => {
                turns.asked = Some(change.clone());
                LOOK_AGAIN
            }
            None if !untold.is_empty() => LOOK_AGAIN,
            // Nothing, or a disk that is full.
            _ => LOOK_EVERY,
        };
        let _ = tokio::time::timeout(pause, shared.stop.cancelled()).await;
    }
}

/// Whether the record is there.
async fn ask_for(shared: &Shared, change: &UntoldLinkChangeRow) -> bool {
    let tell = TellCardsOfLink {
        changed_at: change.sequence,
    };
    let command = RegistryRequest::Command(RegistryAction::TellCardsOfLink(tell));
    let reply = ask::registry(&shared.switchboard, command).await;
    matches!(reply, Some(Reply::Done))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ids::{CardId, ProgramId};

    fn change(program: u64, sequence: u64, after: u64) -> UntoldLinkChangeRow {
        UntoldLinkChangeRow {
            id: format!("evt_{sequence}"),
            sequence,
            program_id: ProgramId(program),
            link_type: "team".to_owned(),
            link_id: "t".to_owned(),
            status: "frozen".to_owned(),
            after_card_id: CardId(after),
        }
    }

    #[test]
    fn programs_take_turns_and_one_piece_is_under_way_at_a_time() {
        let untold = [change(1, 50, 10), change(3, 40, 20)];
        let mut turns = Turns::default();
        assert_eq!(turns.next(&untold), Some(&untold[0]));
        turns.asked = Some(untold[0].clone());
        assert_eq!(turns.next(&untold), None);
        // It is in the tables: the other program's turn, then its own again.
        let untold = [change(1, 50, 11), change(3, 40, 20)];
        assert_eq!(turns.next(&untold), Some(&untold[1]));
        turns.asked = Some(untold[1].clone());
        let untold = [change(1, 50, 11)];
        assert_eq!(turns.next(&untold), Some(&untold[0]));
        assert_eq!(turns.next(&[]), None);
    }
}
