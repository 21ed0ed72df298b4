//! Every `code` that an error may have, with its status, its type and what to do: the source of `docs/errors.md`, and of what
//! the OpenAPI document says of codes. Refusals are made where their cause is found; tests hold them against this list.

use super::error::ErrorType::{self, *};

/// The codes of one status and type. A code may have several statuses.
pub struct CodesOf {
    pub status: u16,
    pub error_type: ErrorType,
    pub codes: &'static [Code],
}

/// A code, and what it means with what to do.
pub type Code = (&'static str, &'static str);

const fn of(status: u16, error_type: ErrorType, codes: &'static [Code]) -> CodesOf {
    CodesOf {
        status,
        error_type,
        codes,
    }
}

/// In the order of their statuses; the codes of each in that of the alphabet.
#[rustfmt::skip]
pub const CODES: &[CodesOf] = &[
    of(400, InvalidRequest, INVALID),
    of(400, NotSupported, &[("not_supported", "This version or this process does not do that, as settling by word without the sandbox; leave the field out.")]),
    of(401, Authentication, UNAUTHORIZED),
    of(403, Permission, FORBIDDEN),
    of(404, NotFound, NOT_FOUND),
    of(404, NotSupported, NO_ROUTE_YET),
    of(405, InvalidRequest, &[("method_not_allowed", "The path is there and does not take this method; the `Allow` header names those that it takes.")]),
    of(408, InvalidRequest, &[("body_timeout", "The body did not arrive within 30 seconds; send it faster, or less of it.")]),
    of(409, Conflict, CONFLICTS),
    of(410, NotFound, &[("reveal_used", "The reveal link has shown its card already; who did not see it makes a new one, and asks who did.")]),
    of(412, Conflict, &[("precondition_failed", "Somebody has changed it since the version that `If-Match` names; read it again and change what is there now.")]),
    of(413, InvalidRequest, &[("body_too_large", "The body is larger than the route takes (256 KiB, of card batches 8 MiB); send less in one request.")]),
    of(415, InvalidRequest, &[("media_type_unsupported", "The body says that it is something other than JSON, and is not JSON or not taken as that here; send JSON with `Content-Type: application/json`.")]),
    of(429, RateLimited, RATE_LIMITED),
    of(500, Internal, &[("internal_error", "Something failed inside; the log has the cause under the `request_id`. Repeat it with the same `Idempotency-Key`, and tell the operator.")]),
    of(503, Unavailable, UNAVAILABLE),
];

#[rustfmt::skip]
const INVALID: &[Code] = &[
    ("account_repeated", "An account stands twice among the accounts of a card; name each once."),
    ("acquirer_id_invalid", "An `acquirer_id` is no text of 1 to 11 digits; correct it."),
    ("address_invalid", "An entry of `allowed_ips` is neither an address nor a network, as in `192.0.2.0/24`; correct it."),
    ("amount_not_whole", "So much USDT is no whole number of cents; ask for a multiple of 10,000."),
    ("bad_request", "The request is no good HTTP, as with a path that is not percent-encoded; correct how it is made."),
    ("bin_invalid", "A BIN has not 6 or 8 digits; correct it."),
    ("bin_repeated", "A BIN stands twice in `bins`; name each once."),
    ("bins_invalid", "`bins` does not begin with `bin`; put that first."),
    ("body_incomplete", "The connection ended before the body did; send it again."),
    ("body_not_json", "The body is not JSON; the message says where it ends to be."),
    ("card_number_in_text", "A text looks as if it held a card number; leave that out."),
    ("country_unknown", "A country is none of ISO 3166-1 alpha-2, or `ZZ` where one is needed; correct it."),
    ("csv_malformed", "The file is no CSV with the columns that are known; `param` says which line."),
    ("currency_unknown", "A currency is unknown, has no minor unit, or is in no message of a network; name another."),
    ("cursor_unknown", "`starting_after` is no entry of this list, or one of a moment ago that is not in it yet; take the last id of the page before."),
    ("date_invalid", "A day is none, as in `2026-11-28`; correct it."),
    ("event_type_unknown", "There is no such type or family of events; webhooks.md has all types."),
    ("events_empty", "`events` names nothing; name a type, a family or `*`, or set `status` to `disabled`."),
    ("external_reference_invalid", "An `external_reference` has the form of a top-up's id; take another."),
    ("fee_item_invalid", "An item of the fee schedule cannot be charged as it is; the message says which and why."),
    ("field_missing", "A field that is needed is not there; `param` names it."),
    ("field_repeated", "A field stands twice in one object; leave one of them out."),
    ("field_unknown", "A field or a query parameter is not known here; remove it or correct its name."),
    ("filters_too_wide", "The filters fit too few among too many entries to be looked at in time; add one that fits fewer, or a shorter span."),
    ("id_malformed", "An id has not the form of its kind; correct it."),
    ("id_repeated", "Two limits, lists or time windows have one id; give each its own, or none."),
    ("idempotency_key_invalid", "`Idempotency-Key` occurs twice or has not 1 to 255 visible ASCII characters; correct it."),
    ("if_match_unsupported", "`If-Match` goes with `PATCH` and `PUT` only; leave it out."),
    ("limit_id_unknown", "A limit of a linked object has an id that is not that object's; leave the id out of a new limit."),
    ("link_repeated", "A link stands twice; name each once."),
    ("link_type_invalid", "The type of a link has other than small letters, digits and `_`; correct it."),
    ("link_type_reserved", "A link cannot be of the type `authorization`, `balance`, `card`, `object` or `program`, whose flat fields events have themselves; name the type otherwise."),
    ("list_invalid", "A control list has not one of `allow` and `block` with an entry or more; leave the list out to let all pass."),
    ("mcc_invalid", "An MCC is neither four digits nor a known group; correct it."),
    ("merchant_id_invalid", "A merchant id has not 1 to 15 letters, digits and marks; correct it."),
    ("merchant_invalid", "An entry of `merchants` is none of an `id`, a `name` and a `list`; give one of them."),
    ("merchant_list_unknown", "There is no such merchant list; name one of `/v1/merchant_lists`."),
    ("moment_invalid", "A moment that has to lie ahead does not; take a later one."),
    ("network_cannot_say", "The dialect of the network has no place for that; leave the field out, or name another network."),
    ("network_invalid", "The name of a network has other than letters, digits, `-` and `_`; correct it."),
    ("network_unknown", "The configuration has no network of this name; name one that it has."),
    ("nothing_named", "The body, a list or an object is there and names nothing, where it has to; name an entry, or what changes."),
    ("number_invalid", "A number is no whole one or not in its range; the message says the range."),
    ("parameter_repeated", "A query parameter occurs twice; name it once."),
    ("percent_repeated", "A percent stands twice; name each once."),
    ("phone_invalid", "A phone number is none of E.164, as in `+12125550100`; correct it."),
    ("program_not_found", "The body names a program that is not there; correct the id."),
    ("query_malformed", "The query is not `name=value&name=value`, percent-encoded; correct how it is made."),
    ("rate_invalid", "A rate is no decimal number above zero, or of a currency to itself; correct it."),
    ("rate_twice", "A pair of currencies has two rates; leave one out."),
    ("replay_invalid", "A replay needs one of `after` and `since`; give one."),
    ("report_too_large", "The amounts of that day are too large to be added up; ask for one network at a time."),
    ("row_too_large", "A row of a card batch has more than 64 KiB; send less in it."),
    ("rule_invalid", "The expression of a risk rule cannot be read; the message says where and why."),
    ("same_account", "A transfer names one account twice; name two."),
    ("scopes_invalid", "A key needs one of `scopes` and `preset`, and not both; give one."),
    ("shipping_of_virtual_card", "A virtual card is sent nowhere; leave `shipping` out, or make it `physical`."),
    ("span_empty", "The end of a span is not after its beginning; correct one of them."),
    ("subject_invalid", "An exception is for one of `card_id`, `account_id` and `link`; give one."),
    ("text_invalid", "A text is too long, empty, or has characters that it may not have; the message says what it takes."),
    ("time_invalid", "A time is none of RFC 3339, or no time of day where that is asked; correct it."),
    ("time_window_empty", "A time window ends as it begins; take another `to`, or leave both out for the whole day."),
    ("time_zone_unknown", "A time zone is none of IANA; correct it."),
    ("token_number_invalid", "A `token_number` has not 12 to 19 digits with the right check digit; correct it."),
    ("too_long_to_wait", "This waits for a second person, and its body is too long for that; send less in one request."),
    ("too_many", "A list, a file or the body has more entries than it may; the message says how many, send the rest in another request."),
    ("type_invalid", "A value is of another JSON type than it has to be; the message says which."),
    ("url_invalid", "A URL is not `https://`, or leads to an address that is not called; correct it."),
    ("value_unknown", "A value is none of those that may be there, or a field does not go with another; the message says which do."),
    ("word_invalid", "A word has characters that it may not have; correct it."),
];

#[rustfmt::skip]
const UNAUTHORIZED: &[Code] = &[
    ("api_key_expired", "The API key has expired; take another."),
    ("api_key_malformed", "The `Authorization` header is not `Bearer`, a space and a key; correct it."),
    ("api_key_missing", "There is no `Authorization` header; send one."),
    ("api_key_revoked", "The API key was revoked, perhaps while the request came; nothing was done. Take another."),
    ("api_key_unknown", "No API key is like this one, or it ended long ago; take another."),
];

#[rustfmt::skip]
const FORBIDDEN: &[Code] = &[
    ("address_not_allowed", "The API key may not be used from this address; call from one of its `allowed_ips`."),
    ("addresses_beyond_caller", "A key that is bound to addresses makes only keys that are bound to some of them; name such `allowed_ips`."),
    ("bounds_beyond_caller", "The key or endpoint would see more than the key that makes it; name bounds within its own (a key names all that binds it, its programs too)."),
    ("expiry_beyond_caller", "A key that expires makes only keys that expire by then; name an earlier `expires_at`."),
    ("key_is_bound", "The key is bound to a part of what there is, and this is about more; take a key that is bound less, or name what the key sees."),
    ("scope_beyond_caller", "A key neither makes nor revokes one with a scope that it does not have; leave the scope out."),
    ("scope_missing", "The key has not the scope that this needs (`param`); take one that has it."),
];

#[rustfmt::skip]
const NOT_FOUND: &[Code] = &[
    ("account_not_found", "There is no such account, or none that the key sees."),
    ("api_key_not_found", "There is no such API key, or none that the key sees."),
    ("approval_not_found", "There is no such approval, or none that the key sees, or it is forgotten by now."),
    ("authorization_not_found", "There is no such authorization, or none that the key sees."),
    ("backtest_not_found", "There is no such backtest of that rule, or it is forgotten by now: the last 100 are kept, until the switch is started again."),
    ("card_batch_not_found", "There is no such card batch, or none that the key sees, or it is forgotten by now."),
    ("card_not_found", "There is no such card, or none that the key sees."),
    ("cardholder_not_found", "There is no such cardholder, or none that the key sees."),
    ("decision_endpoint_not_found", "There is no such decision endpoint, or none that the key sees."),
    ("delivery_not_found", "There is no such delivery, or none that the key sees, or it is too old to be kept."),
    ("event_not_found", "There is no such event, or none that the key sees; what nobody had subscribed to, and what is too old, is not kept."),
    ("exception_not_found", "There is no such exception, or none that the key sees."),
    ("fee_not_found", "There is no such fee, or none that the key sees."),
    ("fee_schedule_not_found", "There is no such fee schedule."),
    ("link_not_found", "No card that the key sees is linked to such an object, and it has no controls there."),
    ("mcc_group_not_found", "There is no such MCC group."),
    ("merchant_list_not_found", "There is no such merchant list."),
    ("not_found", "It is not there, or not for this key."),
    ("program_not_found", "There is no such program, or none that the key sees."),
    ("reveal_not_found", "No reveal link has this token: it has expired, its API key has ended, the switch was started again, or there never was one. Make a new one."),
    ("route_not_found", "There is no such path; openapi.json has all."),
    ("rule_not_found", "There is no such risk rule, or none that the key sees."),
    ("token_not_found", "There is no such token, or none that the key sees."),
    ("top_up_not_found", "There is no such top-up, or none that the key sees."),
    ("transaction_not_found", "There is no such transaction, or none that the key sees."),
    ("transfer_not_found", "There is no such transfer, or none that the key sees."),
    ("webhook_endpoint_not_found", "There is no such webhook endpoint, or none that the key sees."),
];

#[rustfmt::skip]
const NO_ROUTE_YET: &[Code] = &[
    ("not_supported", "The path is of the product and not part of this version yet."),
    ("sandbox_off", "Nothing is simulated without the sandbox; `[sandbox] enabled = true` turns it on where no card is anybody's."),
];

#[rustfmt::skip]
const CONFLICTS: &[Code] = &[
    ("account_closed", "The account is closed, for good; name another."),
    ("account_frozen", "The account that pays, or one above it, is frozen; unfreeze it first."),
    ("account_has_sub_accounts", "An account is closed once every account right below it is; close those first."),
    ("account_not_empty", "An account is closed once nothing is posted or held; move the money away first, and before that take an `auto_top_up` rule away (`{}`), which would bring it back."),
    ("account_not_found", "The account that is to get the money is not there; correct `to_account_id`."),
    ("account_not_root", "The account has a parent, and a master account has none; name the one at the top."),
    ("account_of_card", "The account was opened for a card (`funding: own`), which alone draws on it: name the account above it."),
    ("account_of_other_tree", "The accounts of a card are all of one tree; name accounts of that tree."),
    ("account_status_forbids", "The account is closed, and takes no change any more."),
    ("account_tree_too_deep", "The tree would have more than five levels; open it further up."),
    ("amount_out_of_range", "The balance would leave its range of 10^18 minor units; move less."),
    ("api_key_not_active", "The key was revoked or has expired, and so is not rolled; make another."),
    ("approval_state_forbids", "The approval is decided already, or over; ask anew where it is still wanted."),
    ("approver_is_requester", "Who asked does not approve; somebody with a key of another family has to."),
    ("approver_unknown", "The key of who approved is known no more, so nothing was carried out; ask anew."),
    ("auto_top_up_circular", "The account would be topped up from one that is topped up from it, directly or by others (of which there may be 1,000); take the rule of one of them away."),
    ("auto_top_up_without_source", "A rule that tops up needs the account that the money comes from; name `auto_top_up.from_account_id`."),
    ("bin_exhausted", "No free card number was found in this BIN; issue with another."),
    ("bin_not_removable", "Cards may have the BIN, so none is taken away; name all that there are."),
    ("bin_of_other_program", "The BIN is not one of the program's `bins`; name one of those."),
    ("cancelled_by_other", "Only who asked cancels; reject it instead."),
    ("card_batch_state_forbids", "The card batch is done, and so is not cancelled."),
    ("card_not_issued", "The authorization is of a card that nobody issued, so nothing follows it in a simulation; name another."),
    ("card_not_shipped", "The card has not left for its holder, or came back, and so is not activated; tell its shipping first."),
    ("card_replaced", "The card was replaced; the message names the newer one, which takes this."),
    ("card_status_forbids", "The status of the card does not allow that; the message says the status. A reveal link shows no card that was closed or blocked after it was made."),
    ("changed_since_requested", "What this was to replace has been changed since it was asked for; ask for it anew."),
    ("currency_mismatch", "The account is in another currency than the amount, the parent, the program or the fee schedule; nothing is converted here, name the same."),
    ("decision_endpoint_exists", "The program has a decision endpoint, and may have one; change that."),
    ("duplicate_transmission", "A message with these numbers came before, about something else; leave `stan`, `rrn` and `sent_at` out."),
    ("endpoint_not_called", "The endpoint has no URL or is not enabled, so nothing can be sent to it; enable it, or read `/v1/events`."),
    ("event_not_for_endpoint", "The endpoint has not subscribed to this event; change its `events` and bounds first."),
    ("exception_over", "The time of the exception is over; ask for another."),
    ("exception_state_forbids", "The exception is approved, rejected or ended already; ask for another."),
    ("external_reference_taken", "Another top-up of this method and account tree has the reference; take another, or find that one by it."),
    ("group_name_taken", "A group that comes with the program has the name; choose another."),
    ("idempotency_key_in_use", "A request with this `Idempotency-Key` is under way; repeat it in a second."),
    ("idempotency_key_reused", "The `Idempotency-Key` came with another request before; take a new one."),
    ("insufficient_funds", "Less is available in the account than this costs or moves; put money there first."),
    ("limit_of_other_link", "Another linked object has a limit with this id; leave the id out."),
    ("link_closed", "The linked object is closed, for good, and no card is linked to it; name another."),
    ("link_of_other_tree", "The object has limits, and its cards are of another account tree; take an id of its own in each tree."),
    ("link_of_several_trees", "Cards of several account trees are linked to the object, so it can have no limits; take an id of its own in each tree."),
    ("mark_up_twice", "The program and its fee schedule both charge for foreign exchange; keep one of them."),
    ("mcc_group_builtin", "The group comes with the program and is not changed; make one of your own."),
    ("no_master_account", "The program has no master account for a card that names none; name an `account_id`, or set the program's `master_account_id`."),
    ("no_network", "No network is configured that a simulated message could speak as; configure one."),
    ("no_shipping", "Nobody told that the card is to be made and sent, so nothing is known of that."),
    ("not_decided", "The network got an answer that no decision stands behind; dialects.md says which messages are not decided on."),
    ("nothing_held", "The authorization holds nothing that could be released."),
    ("program_mismatch", "The parent account, the cardholder or the master account is of another program than what it is for; name one of the same."),
    ("requester_revoked", "The key that asked is revoked or known no more, so nobody approves; ask anew with another."),
    ("rule_retired", "The rule is retired, for good; make another."),
    ("rule_unreadable", "This version cannot read the expression of the rule, which an earlier one could; make another."),
    ("shipping_status_forbids", "A card does not go from its shipping status to that one; api.md has the moves."),
    ("sign_on_declined", "The switch declined the sign-on of the simulated network; look at how that network is configured."),
    ("token_number_in_card_bin", "The number begins with a BIN of cards; a token has one of tokens."),
    ("token_number_taken", "Another token has the number; take another."),
    ("token_status_forbids", "The status of the token does not allow that; the message says the status."),
    ("too_many", "There are as many of these as there may be, in all or of one tenant; end some first."),
    ("too_many_backtests", "As many backtests wait or run as may, in all or of one tenant; wait for one, or cancel it."),
    ("too_many_card_batches", "As many card batches are under way as may be, in all or of one tenant; wait for one."),
    ("too_many_cards_of_link", "As many cards are linked to the object as may be, closed ones among them; link further ones to another."),
    ("too_many_deliveries_wait", "Too much waits for this endpoint already; replay from an earlier event instead."),
    ("too_many_links_with_controls", "As many linked objects have controls as may, in all or of one tenant; take controls away from some."),
    ("too_many_reissues", "As many cards replaced one another as may; issue a new card, and close this one."),
    ("too_many_rules", "There are as many risk rules as there may be, in all or of the program; retire some first."),
    ("too_many_tokens", "The card, with those that it replaced, has as many tokens as it may."),
    ("too_many_webhook_endpoints", "There are as many webhook endpoints as there may be, in all or of one tenant; delete some first."),
    ("top_up_not_pending", "The top-up was settled or failed before."),
    ("transfers_in_transit", "Money of the account is on its way; close it in a moment."),
];

#[rustfmt::skip]
const RATE_LIMITED: &[Code] = &[
    ("idempotency_share_full", "The `Idempotency-Key`s of the tenant take as much memory as they may; nothing was done. Repeat it after `Retry-After`."),
    ("reveal_links_share_full", "The tenant has as many reveal links that are not over as it may; nothing was done. Repeat it after `Retry-After`."),
    ("too_many_requests", "The API key, or its tenant, asks too often; nothing was done. Repeat it after `Retry-After`."),
    ("too_many_unfreezes", "The linked objects of a tenant free too many cards in a short time; nothing was done. Repeat it after `Retry-After`."),
];

#[rustfmt::skip]
const UNAVAILABLE: &[Code] = &[
    ("connections_taken", "Requests are under way on all connections that there may be; repeat it in a moment."),
    ("disk_full", "The journal has no room for its next file; the operator has to make some. Repeat it then."),
    ("idempotency_keys_full", "The `Idempotency-Key`s of all take as much memory as they may; nothing was done. Repeat it after `Retry-After`."),
    ("list_too_slow", "The SQL database took too long for this list; repeat it, or ask for less."),
    ("not_ahead_of_time", "A browser asked for a reveal link ahead of time (`Sec-Purpose: prefetch`), which would use it up; ask when somebody looks."),
    ("not_decided", "A simulated message could not be decided on now; repeat it."),
    ("object_busy", "Other changes of this object are under way; repeat yours in a second."),
    ("outcome_unknown", "It is not known whether this was done; repeat it with the same `Idempotency-Key`."),
    ("overloaded", "Too much waits to be decided; repeat it in a second."),
    ("recovering", "The state is being restored from the journal; repeat it in a second."),
    ("reveal_links_full", "There are as many reveal links that are not over as may be; nothing was done. Repeat it after `Retry-After`."),
    ("store_behind", "The SQL database is too far behind, or lacks what the journal no longer keeps; repeat it later, or the operator restores it."),
    ("store_unavailable", "The SQL database cannot be read now; decisions and most single objects go on without it. Repeat it later."),
    ("too_many_in_transit", "As many transfers are on their way as may be; repeat it in a moment."),
    ("too_many_large_bodies", "As many requests with more than 256 KiB are under way as may be, in all or of one tenant; send one after the other."),
    ("too_many_pending_top_ups", "As many top-ups wait for their money as may, in all or of one tenant; settle or fail some first."),
    ("too_many_pings", "As many pings are under way as may be, in all or of one tenant; wait for one."),
    ("too_many_streams", "As many streams of events are open as may be, in all, of one tenant or of the key; read `/v1/events` instead."),
];

/// The codes of a status, whatever their type.
pub fn of_status(status: u16) -> impl Iterator<Item = &'static Code> {
    let groups = CODES.iter().filter(move |group| group.status == status);
    groups.flat_map(|group| group.codes)
}

/// Whether an error may be this one.
pub fn is_known(status: u16, error_type: &str, code: &str) -> bool {
    let is_of = |group: &&CodesOf| group.status == status && group.error_type.name() == error_type;
    let mut codes = CODES.iter().filter(is_of).flat_map(|group| group.codes);
    codes.any(|(known, _)| *known == code)
}
