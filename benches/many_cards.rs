//! Fills a data folder with many cards, as `cardswitch serve` would have left it after issuing them one by one:
//! one program, and for each card an account with money and one active virtual card, issued evenly over the
//! last hundred days. Writes a file of some of the cards for `cardsim network`. What starts on the folder and
//! measures is `tools/show_many_cards.sh`.
//!
//! `cargo bench --bench many_cards -- FOLDER CARDS SAMPLE`

use anyhow::{Context, Result, ensure};
use arrayvec::ArrayString;
use cardswitch::engine::command::{Action, CardType, Command, OpenAccount, TopUp};
use cardswitch::engine::controls::Controls;
use cardswitch::engine::decide::{Outcome, decide};
use cardswitch::engine::ids::{AccountId, CardId, ProgramId, TopUpId};
use cardswitch::engine::money::{Currency, Money};
use cardswitch::engine::record::{self, ENGINE_VERSION, Record};
use cardswitch::engine::registry::{
    IssueCard, Program, RegistryAction, RegistryCommand, RegistryOutcome,
};
use cardswitch::engine::registry_decide;
use cardswitch::engine::time::{Expiry, Timestamp};
use cardswitch::engine::world::World;
use cardswitch::journal::{FileStorage, Journal, RecordBatch, Settings};
use cardswitch::security::{Pan, PanHasher, Vault, VaultSettings};
use cardswitch::shard::clock::{Clock, IdSource};
use cardswitch::sim::SimCard;
use std::path::Path;
use std::time::Instant;

const BIN: &str = "411111";
const PROGRAM: ProgramId = ProgramId(1);
const USD: Currency = Currency(840);
const FUNDS_MINOR: i64 = 1_000_000_000;
const DAYS_MS: i64 = 100 * 86_400_000;

/// Cards of one commit of the journal.
const BATCH: u64 = 64;
/// Cards of one world. No tree knows of another, so a world need not have all of them to decide alike.
const CARDS_OF_WORLD: u64 = BATCH * 200;

/// Ten to the power of the digits between BIN and check digit.
const NUMBERS: u64 = 1_000_000_000;

fn main() -> Result<()> {
    // `cargo bench` adds an option of its own.
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    let [folder, cards, sample] = &arguments[..] else {
        println!(
            "many_cards fills a folder: cargo bench --bench many_cards -- FOLDER CARDS SAMPLE"
        );
        return Ok(());
    };
    let cards = cards.parse().context("CARDS is no number")?;
    let sample = sample.parse().context("SAMPLE is no number")?;
    ensure!(
        (1..=NUMBERS).contains(&cards),
        "CARDS has to be between 1 and {NUMBERS}, the numbers of a BIN"
    );
    fill(Path::new(folder), cards, sample)
}

fn fill(folder: &Path, cards: u64, sample: u64) -> Result<()> {
    let started = Instant::now();
    let issuer = Issuer::new(Vault::open(
        &folder.join("vault"),
        &VaultSettings::default(),
    )?);
    let settings = Settings {
        sync: false,
        ..Settings::default()
    };
    let mut new_id = [0; 16];
    getrandom::fill(&mut new_id)?;
    let storage = FileStorage::create(&folder.join("journal"))?;
    let (mut journal, found) = Journal::open(storage, &settings, u128::from_le_bytes(new_id))?;
    ensure!(found.created, "{} is in use already", folder.display());
    let begin = Clock::System.now().plus_ms(-DAYS_MS);
    let mut writer = Writer {
        empty: World::new(1),
        world: World::new(1),
        records: RecordBatch::new(),
    };
    writer.create_program(begin);
    let mut chosen = Chosen::new(cards, sample)?;
    let mut sim_cards = Vec::new();
    for number in 0..cards {
        if number.is_multiple_of(CARDS_OF_WORLD) {
            writer.world = writer.empty.clone();
            while journal.tidy() {}
        }
        let elapsed_ms = DAYS_MS / cards as i64 * number as i64;
        let card = issuer.card(number, begin.plus_ms(elapsed_ms));
        writer.issue(&issuer, &card)?;
        if chosen.has(number) {
            sim_cards.push(issuer.sim_card(&card)?);
        }
        if (number + 1).is_multiple_of(BATCH) || number + 1 == cards {
            let nobody = Box::new(|_| {});
            journal.handle().append(&mut writer.records, nobody)?;
            journal.commit_pending()?;
        }
    }
    journal.mark_if_due()?;
    while journal.tidy() {}
    SimCard::save(&folder.join("cards.jsonl"), &sim_cards)?;
    println!(
        "{cards} cards in {} records, {} of them to pay with, in {:.1} s",
        journal.handle().durable(),
        sim_cards.len(),
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

/// One card to be, with everything that is its own.
struct NewCard {
    at: Timestamp,
    account_id: AccountId,
    top_up_id: TopUpId,
    card_id: CardId,
    digits: String,
    pan: Pan,
    expiry: Expiry,
}

struct Issuer {
    vault: Vault,
    pan_hasher: PanHasher,
}

impl Issuer {
    fn new(vault: Vault) -> Issuer {
        let pan_hasher = vault.pan_hasher().clone();
        Issuer { vault, pan_hasher }
    }

    fn card(&self, number: u64, at: Timestamp) -> NewCard {
        // As the process gives ids out; no two cards are of one millisecond.
        let first_id = IdSource::last_of(at);
        // Every number once, in no order: the factor has no divisor in common with `NUMBERS`.
        let account_number = number * 618_033_989 % NUMBERS;
        let (digits, pan) = (0..10)
            .map(|check_digit| format!("{BIN}{account_number:09}{check_digit}"))
            .find_map(|digits| Pan::parse(&digits).ok().map(|pan| (digits, pan)))
            .expect("one of ten check digits is the right one");
        NewCard {
            at,
            account_id: AccountId(first_id),
            top_up_id: TopUpId(first_id + 1),
            card_id: CardId(first_id + 2),
            digits,
            pan,
            expiry: Expiry::new(2029, 12).expect("a month of this century"),
        }
    }

    fn issue(&self, card: &NewCard) -> Result<IssueCard> {
        let sealed = self.vault.seal_pan(&card.pan, card.card_id.0)?;
        Ok(IssueCard {
            card_id: card.card_id,
            root: card.account_id,
            account_id: card.account_id,
            program_id: PROGRAM,
            card_type: CardType::Virtual,
            pan_hash: self.pan_hasher.pan_hash(card.digits.as_bytes()),
            sealed_pan: sealed.as_bytes().try_into()?,
            first6: card.pan.first6().parse()?,
            last4: card.pan.last4().parse()?,
            expiry: card.expiry,
            links: Default::default(),
            controls: Controls::default(),
            wallet: None,
            cardholder_id: None,
            paid_by: None,
            shipping: None,
        })
    }

    /// The library lets no CVV2 out, so it is guessed.
    fn sim_card(&self, card: &NewCard) -> Result<SimCard> {
        let (exp_year, exp_month) = (card.expiry.year(), card.expiry.month());
        let cvk = self.vault.cvk();
        let cvv2 = (0..1_000)
            .map(|guess| format!("{guess:03}"))
            .find(|guess| cvk.verify_cvv2(&card.pan, exp_year, exp_month, guess));
        let text = |digits: &str| ArrayString::from(digits).ok();
        Ok(SimCard {
            pan: ArrayString::from(&card.digits)
                .ok()
                .context("a number of 16 digits")?,
            exp_month,
            exp_year,
            cvv2: cvv2.and_then(|digits| text(&digits)),
            currency: ArrayString::from("USD")?,
            profile: Default::default(),
        })
    }
}

/// Makes records by deciding, as shard and registry do.
struct Writer {
    /// With the program only.
    empty: World,
    world: World,
    records: RecordBatch,
}

impl Writer {
    fn create_program(&mut self, at: Timestamp) {
        let program = Program {
            id: PROGRAM,
            name: "Many".into(),
            network: "visa".into(),
            bin: ArrayString::from(BIN).expect("six digits"),
            currency: USD,
            controls: Controls::default(),
            hold_expiry: Default::default(),
            created_at: at,
            foreign_exchange_mark_up_basis_points: 0,
            ..Program::default()
        };
        self.registry(at, RegistryAction::CreateProgram(Box::new(program)));
        self.empty = self.world.clone();
    }

    fn issue(&mut self, issuer: &Issuer, card: &NewCard) -> Result<()> {
        let (root, at) = (card.account_id, card.at);
        let open = OpenAccount {
            account_id: root,
            parent_id: None,
            program_id: PROGRAM,
            currency: USD,
            name: None,
            controls: Controls::default(),
        };
        self.shard(root, at, Action::OpenAccount(Box::new(open)));
        let top_up = TopUp {
            top_up_id: card.top_up_id,
            account_id: root,
            amount: Money {
                amount_minor: FUNDS_MINOR,
                currency: USD,
            },
            method: "internal".into(),
            external_reference: None,
            tenant: None,
        };
        self.shard(root, at, Action::TopUp(Box::new(top_up)));
        let issue = issuer.issue(card)?;
        self.registry(at, RegistryAction::IssueCard(Box::new(issue)));
        let pending = self.world.pending_cards.get(&card.card_id);
        let open = pending.context("the registry issued no card")?.open.clone();
        self.shard(root, at, Action::OpenCard(Box::new(open)));
        Ok(())
    }

    fn registry(&mut self, at: Timestamp, action: RegistryAction) {
        let command = RegistryCommand { at, action };
        let event = match registry_decide::decide(&self.world.registry, &command) {
            RegistryOutcome::Event(event) => event,
            other => panic!("the registry refused: {other:?}"),
        };
        self.records
            .push_with(|bytes| record::write_registry(bytes, &command, &event, None));
        self.world.apply(&Record::Registry {
            engine_version: ENGINE_VERSION,
            command,
            event,
            requester: None,
        });
    }

    fn shard(&mut self, root: AccountId, at: Timestamp, action: Action) {
        let command = Command { root, at, action };
        let event = match decide(self.world.shard(root), &command) {
            Outcome::Event(event) => event,
            other => panic!("the shard refused: {other:?}"),
        };
        self.records
            .push_with(|bytes| record::write_shard(bytes, &command, &event, None));
        self.world.apply(&Record::Shard {
            engine_version: ENGINE_VERSION,
            command,
            event,
            requester: None,
        });
    }
}

/// Which cards are in the file: one of each stretch of cards, anywhere in it.
struct Chosen {
    stretch: u64,
    random: u64,
    next: u64,
}

impl Chosen {
    fn new(cards: u64, sample: u64) -> Result<Chosen> {
        ensure!(sample > 0, "SAMPLE has to be above 0");
        let mut chosen = Chosen {
            stretch: (cards / sample).max(1),
            random: 7,
            next: 0,
        };
        chosen.next = chosen.within();
        Ok(chosen)
    }

    fn has(&mut self, number: u64) -> bool {
        let has = number == self.next;
        if has {
            self.next = (number / self.stretch + 1) * self.stretch + self.within();
        }
        has
    }

    /// A place within a stretch (xorshift64).
    fn within(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % self.stretch
    }
}
