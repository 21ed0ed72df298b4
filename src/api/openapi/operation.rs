//! What the document says of one route beside its scope: parameters, body, answer. What it says of every route alike is
//! in `document.rs`.

use super::schema::{self, answer, id, list, named, number, number_within, or_null, text};
use serde_json::{Value, json};

/// A route as it is described.
pub struct Operation {
    pub method: &'static str,
    pub path: &'static str,
    pub summary: &'static str,
    /// What its parameters mean, by name.
    pub query: Vec<Parameter>,
    pub body: Option<Body>,
    /// Of success.
    pub status: u16,
    pub content: Content,
    /// What `{id}` in its path is, where its place does not say.
    pub path_id: Option<Value>,
    /// It may have to wait for a second person.
    pub may_wait: bool,
}

pub struct Parameter {
    pub name: &'static str,
    pub schema: Value,
    pub required: bool,
}

pub struct Body {
    pub schema: Value,
    /// One that does something, as a reader would send it.
    pub example: Value,
    /// A file that may be sent instead: its media type, and one.
    pub file: Option<(&'static str, &'static str)>,
}

/// What a success has.
pub enum Content {
    Json(Value),
    /// Something else: its media type, and how it begins.
    Text(&'static str, &'static str),
}

/// A `GET` of one object.
pub fn get(path: &'static str, summary: &'static str, schema: &str) -> Operation {
    Operation {
        method: "GET",
        path,
        summary,
        query: Vec::new(),
        body: None,
        status: 200,
        content: Content::Json(named(schema)),
        path_id: None,
        may_wait: false,
    }
}

/// A list from SQL, which says how far that is.
pub fn list_of(
    path: &'static str,
    summary: &'static str,
    item: &'static str,
    prefix: &str,
) -> Operation {
    let page = answer(
        vec![
            ("object", schema::of_type("list")),
            ("data", list(named(item))),
            ("has_more", schema::flag()),
            (
                "projected_through",
                schema::noted(number(42), "The journal position that SQL is at."),
            ),
        ],
        Vec::new(),
    );
    listing(path, summary, page, id(prefix))
}

/// A list from memory, in which is what was just written.
pub fn list_of_memory(
    path: &'static str,
    summary: &'static str,
    item: &'static str,
    cursor: Value,
) -> Operation {
    let page = answer(
        vec![
            ("object", schema::of_type("list")),
            ("data", list(named(item))),
            ("has_more", schema::flag()),
        ],
        Vec::new(),
    );
    listing(path, summary, page, cursor)
}

fn listing(path: &'static str, summary: &'static str, page: Value, cursor: Value) -> Operation {
    let limit = schema::with(number_within(1, 100), "default", json!(20));
    let after = schema::noted(cursor, "The last id of the page before.");
    get(path, summary, "")
        .content(Content::Json(page))
        .filter("limit", limit)
        .filter("starting_after", after)
}

/// A `POST` that makes something.
pub fn create(
    path: &'static str,
    summary: &'static str,
    body: Body,
    schema: &'static str,
) -> Operation {
    Operation {
        method: "POST",
        status: 201,
        body: Some(body),
        ..get(path, summary, schema)
    }
}

/// A `POST` that does something to what its path names, and needs no body.
pub fn act(path: &'static str, summary: &'static str, schema: &str) -> Operation {
    let nothing = schema::request(Vec::new(), Vec::new());
    act_with(path, summary, body(nothing, json!({})), schema)
}

pub fn act_with(path: &'static str, summary: &'static str, body: Body, schema: &str) -> Operation {
    Operation {
        method: "POST",
        body: Some(body),
        ..get(path, summary, schema)
    }
}

pub fn body(schema: Value, example: Value) -> Body {
    Body {
        schema,
        example,
        file: None,
    }
}

impl Body {
    pub fn or_text(mut self, media_type: &'static str, example: &'static str) -> Body {
        self.file = Some((media_type, example));
        self
    }
}

impl Operation {
    pub fn method(mut self, method: &'static str) -> Operation {
        self.method = method;
        self
    }

    pub fn content(mut self, content: Content) -> Operation {
        self.content = content;
        self
    }

    pub fn may_wait(mut self) -> Operation {
        self.may_wait = true;
        self
    }

    pub fn path_id(mut self, schema: Value) -> Operation {
        self.path_id = Some(schema);
        self
    }

    /// What `starting_after` takes, where that is no id of ours.
    pub fn cursor(mut self, schema: Value) -> Operation {
        self.query.retain(|known| known.name != "starting_after");
        self.filter("starting_after", schema)
    }

    pub fn filter(mut self, name: &'static str, schema: Value) -> Operation {
        self.query.push(Parameter {
            name,
            schema,
            required: false,
        });
        self
    }

    pub fn needs(mut self, name: &'static str, schema: Value) -> Operation {
        self.query.push(Parameter {
            name,
            schema,
            required: true,
        });
        self
    }

    /// `created_from` and `created_until`.
    pub fn created_within(self) -> Operation {
        let until = schema::noted(schema::moment(), "Not part of the span itself.");
        self.filter("created_from", schema::moment())
            .filter("created_until", until)
    }

    /// `currency`, `amount_from` and `amount_until`.
    pub fn of_amount(self) -> Operation {
        let from = schema::noted(
            schema::amount_between(),
            "In minor units; needs `currency`.",
        );
        let until = "In minor units; needs `currency`. Not part of the span itself.";
        self.filter("currency", schema::currency())
            .filter("amount_from", from)
            .filter(
                "amount_until",
                schema::noted(schema::amount_between(), until),
            )
    }

    /// What payments are told apart by, beside what is their list's own.
    pub fn of_payment(self) -> Operation {
        let name = schema::noted(
            text(40, "BOOKS"),
            "How it begins, in the letters that the network sent.",
        );
        self.filter("program_id", id("prog"))
            .filter("cardholder_id", id("holder"))
            .filter("kind", schema::one_of(&schema::kinds()))
            .filter("merchant_id", text(15, "M1"))
            .filter("merchant_name", name)
            .filter("mcc", schema::mcc())
            .filter("merchant_country", schema::country())
            .filter("stan", number_within(0, 999_999))
            .filter("rrn", text(12, "633212000001"))
            .of_amount()
            .created_within()
            .of_link()
    }

    /// `card_id` and `card_chain_id`.
    pub fn of_card(self) -> Operation {
        let chain = "This card, those that it replaced and those that replaced it.";
        self.filter("card_id", id("card"))
            .filter("card_chain_id", schema::noted(id("card"), chain))
    }

    /// What the payment is told apart by that something is of.
    pub fn of_its_payment(self) -> Operation {
        self.filter("authorization_id", id("auth"))
            .filter("reason", schema::one_of(&schema::decline_reasons()))
            .filter("merchant_id", text(15, "M1"))
            .of_amount()
    }

    /// `link_type` and `link_id`.
    pub fn of_link(self) -> Operation {
        let link_id = schema::noted(schema::text(128, "p1"), "Needs `link_type`.");
        self.filter("link_type", schema::text(32, "project"))
            .filter("link_id", link_id)
    }
}

/// An answer that says what came of a call to somebody else.
pub fn called(endpoint_id: &'static str, prefix: &str, has_body: bool) -> Value {
    let mut fields = vec![
        ("object", schema::of_type("ping")),
        (endpoint_id, id(prefix)),
        ("status", or_null(number(200))),
    ];
    if has_body {
        fields.push(("body", or_null(schema::said("ok"))));
    }
    fields.push(("error", or_null(schema::said("the connection was refused"))));
    fields.push(("duration_ms", number(12)));
    answer(fields, Vec::new())
}
