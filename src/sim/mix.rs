//! How much of what a simulated network sends.

use std::str::FromStr;

use super::random::Random;

/// Relative weights of what is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix {
    pub(super) weights: [u32; MIX.len()],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Purchase,
    Cash,
    PreAuthorization,
    Verification,
    Foreign,
    WrongExpiry,
    WrongCvv2,
    UnknownCard,
    UnknownBin,
    Control,
    Reversal,
    EarlyReversal,
    DoubledReversal,
    Repeat,
    QuickRepeat,
    Increment,
    Amendment,
    Completion,
    ForcePost,
    ThreeDs,
    Echo,
}

/// Names, and the weights of a believable day.
const MIX: &[(&str, Choice, u32)] = &[
    ("purchase", Choice::Purchase, 640),
    ("cash", Choice::Cash, 40),
    ("pre_authorization", Choice::PreAuthorization, 60),
    ("verification", Choice::Verification, 20),
    ("foreign", Choice::Foreign, 40),
    ("wrong_expiry", Choice::WrongExpiry, 10),
    ("wrong_cvv2", Choice::WrongCvv2, 15),
    ("unknown_card", Choice::UnknownCard, 10),
    ("unknown_bin", Choice::UnknownBin, 5),
    ("control", Choice::Control, 80),
    ("reversal", Choice::Reversal, 40),
    ("early_reversal", Choice::EarlyReversal, 3),
    ("doubled_reversal", Choice::DoubledReversal, 5),
    ("repeat", Choice::Repeat, 15),
    ("quick_repeat", Choice::QuickRepeat, 5),
    ("increment", Choice::Increment, 8),
    ("amendment", Choice::Amendment, 5),
    ("completion", Choice::Completion, 30),
    ("force_post", Choice::ForcePost, 8),
    ("three_ds", Choice::ThreeDs, 60),
    ("echo", Choice::Echo, 2),
];

impl Default for Mix {
    fn default() -> Mix {
        Mix {
            weights: std::array::from_fn(|at| MIX[at].2),
        }
    }
}

impl Mix {
    /// Nothing but purchases on good cards: for measuring.
    pub fn purchases() -> Mix {
        Mix {
            weights: std::array::from_fn(|at| u32::from(at == 0)),
        }
    }

    /// Names that [`Mix::from_str`] takes.
    pub fn names() -> impl Iterator<Item = &'static str> {
        MIX.iter().map(|(name, _, _)| *name)
    }

    /// Whether anything is sent that goes back to an earlier payment.
    pub(super) fn looks_back(&self) -> bool {
        let back = |choice| {
            matches!(
                choice,
                Choice::Reversal
                    | Choice::DoubledReversal
                    | Choice::Repeat
                    | Choice::Increment
                    | Choice::Amendment
                    | Choice::Completion
            )
        };
        let mut weights = self.weights.iter().zip(MIX);
        weights.any(|(weight, (_, choice, _))| *weight > 0 && back(*choice))
    }

    pub(super) fn choose(&self, random: &mut Random) -> Choice {
        let total: u64 = self.weights.iter().map(|weight| u64::from(*weight)).sum();
        let mut left = random.below(total);
        for (weight, (_, choice, _)) in self.weights.iter().zip(MIX) {
            match left.checked_sub(u64::from(*weight)) {
                Some(rest) => left = rest,
                None => return *choice,
            }
        }
        Choice::Purchase
    }
}

impl FromStr for Mix {
    type Err = String;

    /// `purchase=90,repeat=10` (what is not named is not sent), or `default`, or `purchases`.
    fn from_str(text: &str) -> Result<Mix, String> {
        match text {
            "default" => return Ok(Mix::default()),
            "purchases" => return Ok(Mix::purchases()),
            _ => {}
        }
        let mut mix = Mix {
            weights: [0; MIX.len()],
        };
        for part in text.split(',') {
            let (name, weight) = part
                .split_once('=')
                .ok_or_else(|| format!("{part:?} is no name=weight"))?;
            let at = MIX.iter().position(|(known, _, _)| *known == name.trim());
            let known = || Mix::names().collect::<Vec<_>>().join(", ");
            let at = at.ok_or_else(|| format!("{name:?} is not known; use: {}", known()))?;
            mix.weights[at] = weight
                .trim()
                .parse()
                .map_err(|_| format!("{weight:?} is no weight: a whole number"))?;
        }
        match mix.weights.iter().all(|weight| *weight == 0) {
            true => Err("all weights are zero".to_owned()),
            false => Ok(mix),
        }
    }
}
