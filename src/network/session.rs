//! The session with a peer as a pure state machine: who is signed on, when to send an echo, when to give
//! up. Time is an argument; sockets and bytes live in `connection.rs`.

use super::settings::{NetworkSettings, SignOnPolicy};

/// Milliseconds on any clock that does not go back.
pub type Millis = u64;

/// Where we sign on: the longest wait after a sign-off by the peer, unless it is set to be longer from the start.
const SIGN_ON_AGAIN_MAX_MS: Millis = 600_000;

/// Business that comes so soon after a sign-off was on its way before it.
const ON_ITS_WAY_MS: Millis = 1_000;

/// What the network management class of a dialect can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    SignOn,
    SignOff,
    Echo,
    CutOver,
    KeyExchange,
    AdviceRecoveryStart,
    AdviceRecoveryStop,
}

impl Function {
    pub const ALL: &'static [(Function, &'static str)] = &[
        (Function::SignOn, "sign_on"),
        (Function::SignOff, "sign_off"),
        (Function::Echo, "echo"),
        (Function::CutOver, "cut_over"),
        (Function::KeyExchange, "key_exchange"),
        (Function::AdviceRecoveryStart, "advice_recovery_start"),
        (Function::AdviceRecoveryStop, "advice_recovery_stop"),
    ];

    pub fn name(self) -> &'static str {
        Function::ALL
            .iter()
            .find(|(known, _)| *known == self)
            .map_or("", |(_, name)| name)
    }

    pub fn from_name(name: &str) -> Option<Function> {
        Function::ALL
            .iter()
            .find(|(_, known)| *known == name)
            .map(|(function, _)| *function)
    }
}

/// How to answer a network management request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Accepted,
    Declined,
}

/// What the connection has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Send(Function),
    /// Nothing more will come of this peer.
    Close(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Awaited {
    function: Function,
    until: Millis,
}

/// When we sign on again after the peer has signed off.
#[derive(Debug)]
struct SignOnAgain {
    /// The wait after the first sign-off; with 0 we never do.
    first_wait_ms: Millis,
    /// The wait after the next one.
    wait_ms: Millis,
    /// The last time, if there was one.
    signed_on_at: Option<Millis>,
    due: Option<Millis>,
    /// From then on business of the peer makes it due: whoever sends some has come back. Not after it has declined.
    hastened_from: Option<Millis>,
}

impl SignOnAgain {
    fn new(first_wait_s: u64) -> SignOnAgain {
        let first_wait_ms = first_wait_s.saturating_mul(1_000);
        SignOnAgain {
            first_wait_ms,
            wait_ms: first_wait_ms,
            signed_on_at: None,
            due: None,
            hastened_from: None,
        }
    }

    fn on_sign_on(&mut self, now: Millis) {
        self.signed_on_at = Some(now);
        self.due = None;
        self.hastened_from = None;
    }

    /// Waits double, and begin anew where the session held for as long as the last one.
    fn on_sign_off(&mut self, now: Millis) {
        if self.due.is_some() || self.first_wait_ms == 0 {
            return;
        }
        let held_ms = now.saturating_sub(self.signed_on_at.unwrap_or_default());
        if held_ms >= self.wait_ms {
            self.wait_ms = self.first_wait_ms;
        }
        self.wait(now);
        self.hastened_from = Some(now.saturating_add(ON_ITS_WAY_MS));
    }

    fn on_declined(&mut self, now: Millis) {
        self.hastened_from = None;
        self.wait(now);
    }

    fn on_business(&mut self, now: Millis) {
        if self.hastened_from.is_some_and(|from| now >= from) {
            self.due = Some(now);
        }
    }

    fn wait(&mut self, now: Millis) {
        self.due = Some(now.saturating_add(self.wait_ms));
        let longest = SIGN_ON_AGAIN_MAX_MS.max(self.first_wait_ms);
        self.wait_ms = self.wait_ms.saturating_mul(2).min(longest);
    }
}

/// One peer on one connection.
#[derive(Debug)]
pub struct Session {
    policy: SignOnPolicy,
    idle_echo_ms: Millis,
    idle_close_ms: Millis,
    response_timeout_ms: Millis,
    signed_on: bool,
    draining: bool,
    awaited: Option<Awaited>,
    last_heard: Millis,
    last_said: Millis,
    to_send: Option<Function>,
    close: Option<&'static str>,
    again: SignOnAgain,
}

impl Session {
    pub fn new(settings: &NetworkSettings, now: Millis) -> Session {
        let policy = settings.sign_on;
        Session {
            policy,
            idle_echo_ms: settings.idle_echo_s * 1_000,
            idle_close_ms: settings.idle_close_s * 1_000,
            response_timeout_ms: settings.response_timeout_ms(),
            signed_on: matches!(policy, SignOnPolicy::None | SignOnPolicy::Optional),
            draining: false,
            awaited: None,
            last_heard: now,
            last_said: now,
            to_send: (policy == SignOnPolicy::Send).then_some(Function::SignOn),
            close: None,
            again: SignOnAgain::new(settings.sign_on_again_s),
        }
    }

    pub fn is_signed_on(&self) -> bool {
        self.signed_on
    }

    /// Whether authorizations and their like are taken from this peer now.
    pub fn takes_business(&self) -> bool {
        self.signed_on && !self.draining
    }

    /// Bytes have come.
    pub fn heard(&mut self, now: Millis) {
        self.last_heard = now;
    }

    /// Bytes have gone out.
    pub fn said(&mut self, now: Millis) {
        self.last_said = now;
    }

    /// The peer sends business, whether it is taken or not.
    pub fn on_business(&mut self) {
        if !self.signed_on {
            self.again.on_business(self.last_heard);
        }
    }

    /// The peer asks for something.
    pub fn on_request(&mut self, function: Option<Function>) -> Verdict {
        match function {
            Some(Function::SignOn) if self.policy != SignOnPolicy::None && !self.draining => {
                self.sign_on();
                Verdict::Accepted
            }
            Some(Function::SignOff) if self.policy != SignOnPolicy::None => {
                if self.policy == SignOnPolicy::Send && self.signed_on {
                    self.again.on_sign_off(self.last_heard);
                }
                self.signed_on = false;
                Verdict::Accepted
            }
            Some(Function::Echo | Function::CutOver) => Verdict::Accepted,
            // There are no keys to exchange, and advices are not stored for a peer.
            _ => Verdict::Declined,
        }
    }

    /// The peer answers what we asked.
    pub fn on_response(&mut self, function: Option<Function>, accepted: bool) {
        let Some(awaited) = self.awaited else { return };
        if function.is_some_and(|function| function != awaited.function) {
            return;
        }
        self.awaited = None;
        match (awaited.function, accepted) {
            (Function::SignOn, true) => self.sign_on(),
            // It may have signed on itself meanwhile.
            (Function::SignOn, false) if self.signed_on => {}
            (Function::SignOn, false) if self.again.signed_on_at.is_some() => {
                self.again.on_declined(self.last_heard);
            }
            (Function::SignOn, false) => self.close = Some("the peer declined our sign-on"),
            (Function::SignOff, _) => self.signed_on = false,
            _ => {}
        }
    }

    /// Takes no more business.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Once all is answered: signs off where we signed on. False when there is nobody to tell, or
    /// the peer has answered.
    pub fn sign_off(&mut self) -> bool {
        if self.policy != SignOnPolicy::Send || !self.signed_on {
            return false;
        }
        let awaited = self.awaited.map(|awaited| awaited.function);
        if awaited != Some(Function::SignOff) {
            self.to_send = Some(Function::SignOff);
        }
        true
    }

    /// What is due at `now`, if anything.
    pub fn poll(&mut self, now: Millis) -> Option<Action> {
        if let Some(reason) = self.close {
            return Some(Action::Close(reason));
        }
        if let Some(function) = self.to_send.take() {
            return Some(self.send(function, now));
        }
        if self.awaited.is_some_and(|awaited| now >= awaited.until) {
            return Some(Action::Close(
                "the peer did not answer a network management request",
            ));
        }
        if self.idle_close_ms > 0 && now >= self.last_heard + self.idle_close_ms {
            return Some(Action::Close("the peer has been silent for too long"));
        }
        if self.sign_on_again_due().is_some_and(|due| now >= due) {
            self.again.due = None;
            return Some(self.send(Function::SignOn, now));
        }
        let quiet_since = self.last_heard.max(self.last_said);
        if self.idle_echo_ms > 0 && self.awaited.is_none() && now >= quiet_since + self.idle_echo_ms
        {
            return Some(self.send(Function::Echo, now));
        }
        None
    }

    /// When `poll` may next have something to do.
    pub fn next_poll(&self) -> Option<Millis> {
        if self.to_send.is_some() || self.close.is_some() {
            return Some(0);
        }
        let answer_due = self.awaited.map(|awaited| awaited.until);
        let close_due = (self.idle_close_ms > 0).then_some(self.last_heard + self.idle_close_ms);
        let may_echo = self.idle_echo_ms > 0 && self.awaited.is_none();
        let echo_due = may_echo.then_some(self.last_heard.max(self.last_said) + self.idle_echo_ms);
        [answer_due, close_due, echo_due, self.sign_on_again_due()]
            .into_iter()
            .flatten()
            .min()
    }

    fn sign_on_again_due(&self) -> Option<Millis> {
        let may = !self.signed_on && !self.draining && self.awaited.is_none();
        self.again.due.filter(|_| may)
    }

    fn sign_on(&mut self) {
        self.signed_on = true;
        self.again.on_sign_on(self.last_heard);
    }

    fn send(&mut self, function: Function, now: Millis) -> Action {
        self.awaited = Some(Awaited {
            function,
            until: now + self.response_timeout_ms,
        });
        self.last_said = now;
        Action::Send(function)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(policy: &str) -> Session {
        let text = format!("name = \"visa\"\nlisten = \"127.0.0.1:0\"\nsign_on = \"{policy}\"");
        Session::new(&toml::from_str(&text).unwrap(), 0)
    }

    #[test]
    fn with_required_the_peer_has_to_sign_on_first() {
        let mut session = session("required");
        assert!(!session.takes_business());
        assert_eq!(
            session.on_request(Some(Function::SignOn)),
            Verdict::Accepted
        );
        assert!(session.takes_business());
        assert_eq!(
            session.on_request(Some(Function::SignOff)),
            Verdict::Accepted
        );
        assert!(!session.takes_business());
    }

    #[test]
    fn with_send_we_sign_on_and_wait_for_the_answer() {
        let mut session = session("send");
        assert_eq!(session.poll(0), Some(Action::Send(Function::SignOn)));
        assert!(!session.takes_business());
        session.on_response(Some(Function::SignOn), true);
        assert!(session.takes_business());
    }

    #[test]
    fn a_declined_or_unanswered_sign_on_closes() {
        let mut declined = session("send");
        declined.poll(0);
        declined.on_response(None, false);
        assert!(matches!(declined.poll(1), Some(Action::Close(_))));
        let mut unanswered = session("send");
        unanswered.poll(0);
        assert_eq!(unanswered.poll(9_999), None);
        assert!(matches!(unanswered.poll(10_000), Some(Action::Close(_))));
    }

    fn signed_on_at(now: Millis) -> Session {
        let mut session = session("send");
        session.poll(now);
        session.heard(now);
        session.on_response(Some(Function::SignOn), true);
        session
    }

    fn peer_says(session: &mut Session, function: Function, now: Millis) {
        session.heard(now);
        assert_eq!(session.on_request(Some(function)), Verdict::Accepted);
    }

    /// The moment at which it does, with all that is quiet before it left out.
    fn signs_on_at(session: &mut Session) -> Millis {
        loop {
            let now = session.next_poll().unwrap();
            match session.poll(now) {
                Some(Action::Send(Function::SignOn)) => return now,
                Some(Action::Send(function)) => {
                    session.heard(now);
                    session.on_response(Some(function), true);
                }
                told => assert_eq!(told, None),
            }
        }
    }

    #[test]
    fn with_send_we_sign_on_again_after_a_sign_off_and_wait_longer_each_time() {
        let mut session = signed_on_at(0);
        let mut now = 0;
        let waits = [30, 60, 120, 240, 480, 600, 600].map(|wait_s| {
            peer_says(&mut session, Function::SignOff, now);
            // Saying it again puts nothing off.
            peer_says(&mut session, Function::SignOff, now + 10);
            let signed_on_at = signs_on_at(&mut session);
            let waited = signed_on_at - now;
            assert!(!session.takes_business());
            session.heard(signed_on_at);
            session.on_response(Some(Function::SignOn), true);
            assert!(session.takes_business());
            now = signed_on_at + 5_000;
            (waited, wait_s * 1_000)
        });
        assert!(
            waits.iter().all(|(waited, wait)| waited == wait),
            "{waits:?}"
        );
        // A session that held begins anew.
        now += 600_000;
        peer_says(&mut session, Function::SignOff, now);
        assert_eq!(signs_on_at(&mut session), now + 30_000);
        // One that the peer declines comes again too, and does not end the connection.
        for wait in [60_000, 120_000] {
            now = session.last_said;
            session.heard(now);
            session.on_response(Some(Function::SignOn), false);
            assert_eq!(signs_on_at(&mut session), now + wait);
        }
    }

    #[test]
    fn a_peer_that_comes_back_is_not_waited_for() {
        let mut session = signed_on_at(0);
        peer_says(&mut session, Function::SignOff, 50_000);
        session.heard(50_999);
        session.on_business();
        assert_eq!(session.poll(50_999), None, "it was on its way");
        session.heard(51_000);
        session.on_business();
        assert_eq!(session.poll(51_000), Some(Action::Send(Function::SignOn)));
        // Whoever declines is not asked again for each of its messages.
        session.on_response(Some(Function::SignOn), false);
        session.heard(55_000);
        session.on_business();
        assert_eq!(session.poll(55_000), None);
        peer_says(&mut session, Function::SignOn, 56_000);
        assert!(session.takes_business());
        assert_eq!(session.poll(111_000), None);
        assert_eq!(session.poll(116_000), Some(Action::Send(Function::Echo)));
    }

    #[test]
    fn nobody_signs_on_again_who_has_not_or_stops_or_is_told_not_to() {
        let mut theirs = session("optional");
        peer_says(&mut theirs, Function::SignOff, 0);
        let mut stopping = signed_on_at(0);
        peer_says(&mut stopping, Function::SignOff, 0);
        stopping.drain();
        let text =
            "name = \"visa\"\nlisten = \"127.0.0.1:0\"\nsign_on = \"send\"\nsign_on_again_s = 0";
        let mut told = Session::new(&toml::from_str(text).unwrap(), 0);
        told.poll(0);
        told.on_response(Some(Function::SignOn), true);
        peer_says(&mut told, Function::SignOff, 0);
        for session in [&mut theirs, &mut stopping, &mut told] {
            session.heard(40_000);
            session.on_business();
            assert_eq!(session.poll(40_000), None);
            assert_eq!(session.poll(100_000), Some(Action::Send(Function::Echo)));
        }
    }

    #[test]
    fn a_quiet_line_gets_an_echo_and_a_dead_one_is_closed() {
        let mut session = session("optional");
        assert_eq!(
            (session.next_poll(), session.poll(59_999)),
            (Some(60_000), None)
        );
        assert_eq!(session.poll(60_000), Some(Action::Send(Function::Echo)));
        session.heard(60_010);
        session.on_response(Some(Function::Echo), true);
        assert_eq!(session.next_poll(), Some(120_010));
        session.poll(120_010);
        assert!(matches!(session.poll(130_010), Some(Action::Close(_))));
    }

    #[test]
    fn draining_takes_no_business_and_signs_off_where_we_signed_on() {
        let mut ours = session("send");
        ours.poll(0);
        ours.on_response(Some(Function::SignOn), true);
        ours.drain();
        assert!(!ours.takes_business() && ours.poll(1).is_none());
        assert!(ours.sign_off());
        assert_eq!(ours.poll(1), Some(Action::Send(Function::SignOff)));
        assert!(ours.sign_off() && ours.poll(2).is_none());
        ours.on_response(Some(Function::SignOff), true);
        assert!(!ours.sign_off());
        let mut theirs = session("optional");
        theirs.drain();
        assert!(!theirs.takes_business() && !theirs.sign_off());
        assert_eq!(theirs.on_request(Some(Function::SignOn)), Verdict::Declined);
    }
}
