//! Amounts in another currency over real sockets: what a network that converted is told, in each dialect.

mod support;

use cardswitch::iso8583::Dialect;
use support::VISA;
use support::client::Language;
use support::messages::{Purchase, borrowed, with};
use support::rig::Rig;

#[test]
fn each_dialect_carries_what_the_network_billed_and_the_part_of_it() {
    for dialect in Dialect::builtin_names() {
        let rig = Rig::start();
        let card = rig.issue(VISA, 10_000);
        let header = match *dialect {
            "visa-base1" => "base1",
            _ => "none",
        };
        let language = Language::new(dialect, "length-2-be", header);
        let (_, mut client) = rig.connected(&language, "");
        let mti = language.mti(100);

        // 20.00 euros that the network bills as 21.70 dollars.
        let whole = language.authorization(Purchase::of(1, 2_000));
        let whole = with(whole, &[(6, "000000002170"), (49, "978"), (51, "840")]);
        let answer = client.exchange(mti, &borrowed(&whole));
        assert_eq!(answer.field(39), language.code("00"), "{dialect}");
        assert_eq!(rig.money(card), (10_000, 2_170), "{dialect}");

        // 100.00 as 110.01: 78.30 are left, which are 71.17 euros for 78.2941...
        let supported = language.partial_approval_supported();
        let in_part = language.authorization(Purchase::of(2, 10_000));
        let billed = [(6, "000000011001"), (49, "978"), (51, "840"), supported];
        let in_part = with(in_part, &billed);
        let answer = client.exchange(mti, &borrowed(&in_part));
        let told = [39, 4, 54].map(|field| answer.field(field));
        let part = language.code("10");
        let asked = "0057978C000000010000";
        assert_eq!(told, [part, "000000007117", asked], "{dialect}");
        assert_eq!(rig.money(card), (10_000, 2_170 + 7_830), "{dialect}");
        if *dialect == "mastercard-ebcdic" {
            // Told is what was charged.
            assert_eq!(answer.field(6), "000000007830");
        }

        // Neither billed nor in a table.
        let unknown = language.authorization(Purchase::of(3, 1));
        let unknown = with(unknown, &[(49, "978")]);
        let answer = client.exchange(mti, &borrowed(&unknown));
        assert_ne!(answer.field(39), language.code("00"), "{dialect}");
        assert_eq!(rig.money(card), (10_000, 10_000), "{dialect}");
    }
}
