//! The way in and out over real sockets, with the loops inside the test.

mod support;

#[test]
fn compiles() {
    let rig = support::rig::Rig::start();
    let card = rig.issue(support::VISA, 100_00);
    assert_eq!(rig.money(card), (100_00, 0));
}
