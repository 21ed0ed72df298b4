//! Many cards in one request.

use super::operation::{Operation, act, body, create, get, list_of_memory};
use super::schema::{
    Fields, answer, id, list_within, moment, noted, number, of_type, one_of, open_word, or_null,
    pattern, request, said,
};
use crate::api::card_batches::STATUSES;
use crate::engine::card_batches::{BatchState, ROWS_MAX};
use serde_json::{Value, json};

pub fn schemas() -> Fields {
    vec![
        ("CardBatch", card_batch()),
        ("CardBatchRow", card_batch_row()),
    ]
}

pub fn operations() -> Vec<Operation> {
    // Each is looked at by itself, so that the batch may have anything in their place.
    let row = noted(
        json!({}),
        "As the body of `POST /v1/cards`. One that is anything else fails by itself, and stops no other.",
    );
    let rows = list_within(1, ROWS_MAX, row);
    let order = request(vec![("rows", rows)], Vec::new());
    let all = "/v1/card_batches";
    let index = noted(
        pattern("^[0-9]{1,8}$", "19"),
        "The last index of the page before.",
    );
    vec![
        list_of_memory(all, "Card batches, newest first", "CardBatch", id("batch")),
        create(
            all,
            "Issue up to 10,000 cards in the background",
            body(
                order,
                json!({"rows": [{"account_id": "acct_0h2k9m4p7r1t3"}, {"account_id": "acct_0h2k9m4p7r1t3"}]}),
            ),
            "CardBatch",
        ),
        get("/v1/card_batches/{id}", "A card batch", "CardBatch"),
        list_of_memory(
            "/v1/card_batches/{id}/rows",
            "What came of its rows, in their order",
            "CardBatchRow",
            index,
        )
        .filter("status", one_of(&STATUSES)),
        act(
            "/v1/card_batches/{id}/cancel",
            "Issue no more of it",
            "CardBatch",
        ),
    ]
}

fn card_batch() -> Value {
    let states = [
        BatchState::Receiving,
        BatchState::Running,
        BatchState::Done,
        BatchState::Cancelled,
    ];
    answer(
        vec![
            ("id", id("batch")),
            ("object", of_type("card_batch")),
            ("status", open_word(&states.map(BatchState::name))),
            ("total", number(2)),
            ("issued", number(1)),
            ("failed", number(0)),
            ("created_at", moment()),
            ("finished_at", or_null(moment())),
        ],
        Vec::new(),
    )
}

fn card_batch_row() -> Value {
    let error = answer(
        vec![
            ("code", said("account_not_found")),
            ("message", said("there is no account with this id")),
            ("param", or_null(said("account_id"))),
        ],
        Vec::new(),
    );
    answer(
        vec![
            ("index", number(17)),
            ("status", open_word(&STATUSES)),
            ("card_id", or_null(id("card"))),
            ("error", or_null(error)),
        ],
        Vec::new(),
    )
}
