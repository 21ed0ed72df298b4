//! The loop of one shard. One turn: drain the queue, touch the memory, decide and apply each command,
//! hand the records to the journal, hold the answers until they are durable.

use super::archive::Archive;
use super::bulk::Bulk;
use super::card_expiries::CardExpiries;
use super::clock::{Clock, IdSource};
use super::directory::Directory;
use super::inbox::Outlet;
use super::monthly_fees::MonthlyFees;
use super::reply::{HeldReplies, Replies, Reply, ReplySink, Unavailable};
use super::request::{Batch, ShardMessage, ShardRequest, Token};
use super::shown;
use super::stats::ShardStats;
use super::told_again::ToldAgain;
use super::transfers::Carrier;
use super::waiters::Waiters;
use crate::engine::apply::{answer, apply};
use crate::engine::audit::Requester;
use crate::engine::command::{Action, Authorize, Command, ReleaseCause, ReleaseHold, Withhold};
use crate::engine::decide::{Outcome, decide};
use crate::engine::event::{Answer, Event};
use crate::engine::ids::AccountId;
use crate::engine::recall::{self, Found};
use crate::engine::record;
use crate::engine::registry::RegistryView;
use crate::engine::rules::repeat::{self, Found as Before};
use crate::engine::spend;
use crate::engine::state::State;
use crate::engine::time::Timestamp;
use crate::engine::tokens;
use crate::engine::touch::touch_all;
use crate::journal::{Handle, JournalError, RecordBatch, Sequence, Space};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Requests decided in one turn at the most; what is beyond waits for the next.
const REQUESTS_PER_TURN: usize = 4_096;

/// Requests whose memory is touched before the first of them is decided; more would push one
/// another out of the cache.
const REQUESTS_TOUCHED_AHEAD: usize = 64;

/// Records that are handed to the journal in one piece; far below what it lets wait.
pub(super) const RECORD_BYTES_PER_APPEND: usize = 128 * 1024;

/// Holds whose time is over that are released in one turn at the most, and as many waits for customers: after a jump of
/// the clock the rest follow in the next turns, messages do not wait for all of them, and the records of a turn fit
/// the journal.
pub(super) const ENDS_PER_TURN: usize = 4_096;

/// How long the loop sleeps at the most while a hold waits for its end: the clock may be set.
pub(super) const CLOCK_PATIENCE: Duration = Duration::from_secs(1);

pub struct Worker {
    pub state: State,
    pub outlet: Outlet<ShardMessage>,
    pub journal: Handle,
    pub clock: Clock,
    pub directory: Arc<Directory>,
    pub stats: Arc<ShardStats>,
    /// The last record that this shard has appended, or found when it started.
    pub last_sequence: Sequence,
    pub told_again: ToldAgain,
    pub waiters: Waiters,
    /// Who asks customers.
    pub decision_calls: Arc<dyn ReplySink>,
    /// Of this turn: answers to those who waited, and what customers are to be asked.
    pub resolved: Vec<(Arc<dyn ReplySink>, Replies)>,
    /// Where what the state forgets is kept.
    pub archive: Option<Archive>,
    pub carrier: Carrier,
    /// Of transfers that rules make.
    pub ids: Arc<IdSource>,
    pub monthly_fees: MonthlyFees,
    pub card_expiries: CardExpiries,
    pub bulk: Bulk,
}

/// What one turn has gathered.
#[derive(Default)]
struct Turn {
    batches: Vec<Batch<ShardRequest>>,
    requests: usize,
    adopt: Option<Arc<RegistryView>>,
    stop: bool,
}

impl Worker {
    /// Runs until told to stop; gives the state back.
    pub fn run(mut self) -> State {
        let mut records = RecordBatch::new();
        loop {
            let turn = self.gather();
            match self.decide_all(turn.batches, &mut records) {
                Ok(()) => {}
                // The state is ahead of the journal for good: nothing may be answered from it.
                Err(error @ JournalError::BatchTooLarge { .. }) => panic!("{error}"),
                // The journal has failed: it says so itself and ends the process.
                Err(_) => break,
            }
            self.carrier.pass_on();
            self.outlet.served(turn.requests);
            if let Some(view) = turn.adopt {
                self.state.registry = view;
            }
            if turn.stop {
                break;
            }
        }
        self.state
    }

    /// Waits for work, then takes what is there, up to a bound, and no further than the next change of the registry.
    fn gather(&mut self) -> Turn {
        let mut turn = Turn::default();
        let mut next = match self.until_next_due() {
            None => Some(self.outlet.wait()),
            Some(Duration::ZERO) => self.outlet.take(),
            Some(patience) => self.outlet.wait_at_most(patience),
        };
        while let Some(message) = next {
            match message {
                ShardMessage::Batch(batch) => {
                    turn.requests += batch.items.len();
                    turn.batches.push(batch);
                }
                ShardMessage::Adopt(view) => turn.adopt = Some(view),
                ShardMessage::Stop => turn.stop = true,
            }
            let over = turn.stop || turn.adopt.is_some() || turn.requests >= REQUESTS_PER_TURN;
            next = if over { None } else { self.outlet.take() };
        }
        turn
    }

    /// How long until the time of a hold or of a customer is over, or a step of a transfer is tried again; `None` where
    /// there is none.
    fn until_next_due(&self) -> Option<Duration> {
        let authorizations = &self.state.authorizations;
        let expires_at = authorizations.first_to_expire().map(|(at, _)| at);
        let until = authorizations.first_to_resolve().map(|(at, _)| at);
        let expires_at = match self.journal.space() {
            // What is left of the disk is for reversals.
            Space::Reserve => expires_at.map(|_| Timestamp(i64::MAX)),
            _ => expires_at,
        };
        let due = expires_at.into_iter().chain(until).min();
        let left = due.map(|due| self.patience_until(due));
        let patience = [
            self.carrier.patience(),
            self.patience_for_watched(),
            Some(self.patience_for_due()),
        ];
        left.into_iter().chain(patience.into_iter().flatten()).min()
    }

    /// Releases holds whose time is over, in the order in which they end, before anything else is decided.
    fn release_expired(&mut self, at: Timestamp, space: Space, records: &mut RecordBatch) {
        for _ in 0..ENDS_PER_TURN {
            let Some((expires_at, hold)) = self.state.authorizations.first_to_expire() else {
                return;
            };
            let Some(account) = self.state.account(hold.account_id) else {
                return;
            };
            if expires_at > at || space == Space::Reserve {
                return;
            }
            let root = account.root;
            let action = Action::ReleaseHold(ReleaseHold {
                authorization_id: hold.id,
                cause: ReleaseCause::Expired,
            });
            self.carry_out(Command { root, at, action }, None, space, records);
        }
    }

    fn decide_all(
        &mut self,
        batches: Vec<Batch<ShardRequest>>,
        records: &mut RecordBatch,
    ) -> Result<(), JournalError> {
        let at = self.clock.now().max(self.state.now);
        let space = self.journal.space();
        self.resolve_overdue(at, space, records);
        self.release_expired(at, space, records);
        self.record_due(at, space, records);
        self.look_after_watched(at, space, records);
        if batches.is_empty() && records.is_empty() {
            return Ok(());
        }
        let mut held = HeldReplies(Vec::with_capacity(batches.len()));
        let mut count = 0;
        for batch in batches {
            let mut replies = Vec::with_capacity(batch.items.len());
            let too_late = batch.deadline.is_some_and(|at| at <= Instant::now());
            let mut items = batch.items.into_iter();
            while !items.as_slice().is_empty() {
                let next = items.len().min(REQUESTS_TOUCHED_AHEAD);
                self.touch(&items.as_slice()[..next]);
                for (token, request) in items.by_ref().take(next) {
                    let reply = match too_late && request.is_authorization() {
                        true => self.answer_undecided(request, at),
                        false => {
                            let requester = batch.requester.as_deref();
                            self.serve(request, requester, at, space, records)
                        }
                    };
                    let Some(reply) = self.unless_in_transit(reply, (&batch.reply_to, token))
                    else {
                        continue;
                    };
                    match reply.waits_for() {
                        None => replies.push((token, reply)),
                        Some(id) => self.wait(id, (&batch.reply_to, token), &mut replies),
                    }
                }
                if records.byte_length() >= RECORD_BYTES_PER_APPEND {
                    // Nothing is released by it: all answers of the turn leave with its last record.
                    count += records.len();
                    self.append(records, HeldReplies::default())?;
                }
            }
            held.0.push((batch.reply_to, replies));
        }
        self.charge_noted(at, space, records);
        self.expire_noted(at, space, records);
        self.look_after_watched(at, space, records);
        held.0.append(&mut self.resolved);
        self.stats.count_turn(count + records.len());
        self.release_when_durable(records, held)
    }

    /// Brings the memory of these requests near, all at once: deciding them then waits for none of it.
    fn touch(&self, requests: &[(Token, ShardRequest)]) {
        let actions = requests.iter().filter_map(|(_, request)| match request {
            ShardRequest::Command { action, .. } => Some(action),
            _ => None,
        });
        black_box(touch_all(&self.state, actions));
    }

    /// With no new record the answers rest on what came before, which may not be durable yet.
    fn release_when_durable(
        &mut self,
        records: &mut RecordBatch,
        held: HeldReplies,
    ) -> Result<(), JournalError> {
        if records.is_empty() {
            return self
                .journal
                .release_after(self.last_sequence, Box::new(held));
        }
        self.append(records, held)
    }

    fn append(&mut self, records: &mut RecordBatch, held: HeldReplies) -> Result<(), JournalError> {
        self.last_sequence = self.journal.append(records, Box::new(held))?.last;
        if let Some(archive) = &self.archive {
            let forgotten = self.state.outbox.take();
            archive.push(self.last_sequence, self.state.now, forgotten);
        }
        Ok(())
    }

    fn serve(
        &mut self,
        request: ShardRequest,
        requester: Option<&Requester>,
        at: Timestamp,
        space: Space,
        records: &mut RecordBatch,
    ) -> Reply {
        match request {
            ShardRequest::Account(id) => shown::account(&self.state, id),
            ShardRequest::Card(id) => shown::card(&self.state, id),
            ShardRequest::UsedBy(account_id, other_than) => {
                shown::used_by(&self.state, account_id, other_than)
            }
            ShardRequest::Spend(of) => match spend::of(&self.state, &of, at) {
                Some(spent) => Reply::Spend(at, spent),
                None => Reply::NotFound,
            },
            ShardRequest::Token(id) => shown::token(&self.state, id),
            ShardRequest::Command { root, action } => {
                let mut command = self.command(root, at, action);
                self.recall(&mut command, space, records);
                self.charge_before(&command, space, records);
                match &command.action {
                    // The network has heard of the approval by a repeat: it stays what it is.
                    Action::Withhold(withhold) if self.was_told_again(withhold) => {
                        self.first_answer(&command, &withhold.payment)
                    }
                    _ => self.carry_out(command, requester, space, records),
                }
            }
            ShardRequest::FirstAnswer { root, action } => {
                let command = self.command(root, at, action);
                self.first_answer_of(command)
            }
            ShardRequest::Outlook { root, action } => {
                let command = self.command(root, at, action);
                match decide(&self.state, &command) {
                    Outcome::Event(_) => Reply::Done,
                    Outcome::FirstAnswer(answer) => Reply::Message(answer),
                    Outcome::AlreadyDone => self.object_of(&command.action),
                    Outcome::Refused(refusal) => Reply::Refused(refusal),
                }
            }
        }
    }

    /// What is asked, with the card for which a token stands.
    fn command(&self, root: AccountId, at: Timestamp, action: Action) -> Command {
        let mut command = Command { root, at, action };
        tokens::name_card(&self.state, &mut command);
        command
    }

    fn first_answer_of(&mut self, command: Command) -> Reply {
        match &command.action {
            Action::Authorize(payment) => self.first_answer(&command, payment),
            _ => Reply::NotFound,
        }
    }

    /// What the message was answered before; nothing is decided.
    fn first_answer(&mut self, command: &Command, payment: &Authorize) -> Reply {
        match repeat::find(&self.state, command, payment) {
            Before::First(answer) => self.tell_again(answer),
            _ => Reply::NotFound,
        }
    }

    /// Brings back what a late message needs of what was forgotten, in a record of its own before it.
    fn recall(&mut self, command: &mut Command, space: Space, records: &mut RecordBatch) {
        if space == Space::Reserve && matches!(command.action, Action::Authorize(_)) {
            // A request gets no more room than it has without.
            return;
        }
        let at = command.at;
        // What this turn has forgotten is not with the archive yet.
        let unsent = self.state.outbox.items();
        let recall = recall::look_up(&self.state, command, |lookup| match &self.archive {
            Some(archive) => archive.find(lookup, at, unsent),
            None => Found::default(),
        });
        if let Some(recall) = recall {
            self.carry_out(recall, None, space, records);
        }
    }

    fn tell_again(&mut self, answer: Answer) -> Reply {
        self.stats.count_repeat();
        if let Answer::Authorization {
            authorization_id, ..
        } = answer
            && answer.is_approval()
        {
            self.told_again.note(authorization_id);
        }
        Reply::Message(answer)
    }

    /// A request that has waited for too long: nobody needs it decided.
    fn answer_undecided(&mut self, request: ShardRequest, at: Timestamp) -> Reply {
        let reply = match request {
            ShardRequest::Command { root, action } => {
                let command = self.command(root, at, action);
                self.first_answer_of(command)
            }
            _ => Reply::NotFound,
        };
        match reply {
            Reply::NotFound => Reply::Unavailable(Unavailable::Overloaded),
            reply => reply,
        }
    }

    fn was_told_again(&self, withhold: &Withhold) -> bool {
        self.told_again.contains(withhold.payment.authorization_id)
    }

    pub(super) fn carry_out(
        &mut self,
        command: Command,
        requester: Option<&Requester>,
        space: Space,
        records: &mut RecordBatch,
    ) -> Reply {
        match decide(&self.state, &command) {
            // What needs no record is answered all the same; reversals and advices have room of their own.
            Outcome::Event(event)
                if space == Space::Reserve && !has_reserved_room(&command.action, &event) =>
            {
                Reply::Unavailable(Unavailable::DiskFull)
            }
            Outcome::Event(event) => {
                records.push_with(|bytes| record::write_shard(bytes, &command, &event, requester));
                apply(&mut self.state, &command, &event);
                self.stats.tell_fees_out_of_range(&event);
                self.follow_waits(&command, &event);
                self.follow_transfer(&command, &event);
                self.monthly_fees.note(&command, &event);
                self.card_expiries.note(&command, &event);
                if let (Action::OpenAccount(open), Event::AccountOpened { .. }) =
                    (&command.action, &event)
                {
                    self.directory.note(open.account_id, command.root);
                }
                match answer(&command, &event) {
                    Some(answer) => {
                        self.stats.count_decision(&answer);
                        Reply::Message(answer)
                    }
                    None => self.object_of(&command.action),
                }
            }
            Outcome::FirstAnswer(answer) => self.tell_again(answer),
            Outcome::AlreadyDone => self.object_of(&command.action),
            Outcome::Refused(refusal) => Reply::Refused(refusal),
        }
    }

    /// The object that a command of the API was about, as it is now.
    fn object_of(&self, action: &Action) -> Reply {
        let card_id = match action {
            Action::OpenAccount(open) => return shown::account(&self.state, open.account_id),
            Action::ChangeAccountStatus(change) => {
                return shown::account(&self.state, change.account_id);
            }
            Action::TopUp(top_up) | Action::AnnounceTopUp(top_up) => {
                return shown::account(&self.state, top_up.account_id);
            }
            Action::EndTopUp(end) => return shown::account(&self.state, end.account_id),
            Action::ChangeAccount(change) => return shown::account(&self.state, change.account_id),
            Action::Transfer(transfer) => return self.transfer(transfer.id),
            Action::OpenCard(open) => open.card_id,
            Action::ReplaceCard(replace) => replace.card_id,
            Action::RenewCard(renew) => renew.card_id,
            Action::ChangeCardStatus(change) => change.card_id,
            Action::ChangeCardControls(change) => change.card_id,
            Action::ChangeCardHolder(change) => change.card_id,
            Action::ChangeShipping(change) => change.card_id,
            Action::ResetVerificationTries(reset) => reset.card_id,
            Action::OpenToken(open) => return shown::token(&self.state, open.token_id),
            Action::ChangeTokenStatus(change) => return shown::token(&self.state, change.token_id),
            Action::Authorize(_)
            | Action::Reverse(_)
            | Action::Advise(_)
            | Action::Withhold(_)
            | Action::Resolve(_)
            | Action::ReleaseHold(_)
            | Action::ReceiveTransfer(_)
            | Action::EndTransfer(_)
            | Action::NoteLowBalance(_)
            | Action::AutoTopUp(_)
            | Action::ChargeMonthlyFee(_)
            | Action::ExpireCard(_)
            | Action::Recall(_) => {
                return Reply::Done;
            }
        };
        shown::card(&self.state, card_id)
    }
}

/// What may be written when only a reserve of the disk is left. Of a transfer that has begun, the rest is.
fn has_reserved_room(action: &Action, event: &Event) -> bool {
    match event {
        Event::Transferred(_) => !matches!(action, Action::Transfer(_)),
        event => matches!(
            event,
            Event::Reversed(_)
                | Event::Advised(_)
                | Event::Withheld(_)
                | Event::Resolved(_)
                | Event::Recalled
        ),
    }
}

/// A sink for commands that nobody waits for.
pub struct Nobody;

impl ReplySink for Nobody {
    fn deliver(&self, _replies: Vec<(Token, Reply)>) {}
}
