//! `/v1/settlement_reports`: what we owe the networks, by business date, as JSON or CSV.

use super::error::{ApiError, json_response};
use super::list::{ListQuery, check_store, store_error};
use super::{ApiState, Gate};
use crate::settlement::{
    Format, ReportError, ReportRequest, SettlementReport, check_network, render, settlement_report,
};
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

pub async fn json(State(gate): State<Gate>, query: ListQuery) -> Result<Response, ApiError> {
    let report = report(&*gate.state()?, query).await?;
    let value = serde_json::to_value(report).map_err(|error| ApiError::internal(&error))?;
    let mut body = Map::new();
    body.insert("object".into(), "settlement_report".into());
    if let Value::Object(fields) = value {
        body.extend(fields);
    }
    let body = Value::Object(body).to_string();
    Ok(json_response(StatusCode::OK, body))
}

pub async fn csv(State(gate): State<Gate>, query: ListQuery) -> Result<Response, ApiError> {
    let report = report(&*gate.state()?, query).await?;
    let mut response = render(&report, Format::Csv).into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/csv; charset=utf-8"),
    );
    Ok(response)
}

async fn report(
    state: &ApiState,
    ListQuery(mut query): ListQuery,
) -> Result<SettlementReport, ApiError> {
    let date = query.required_text("date", 10)?;
    let network = query.text("network", 16)?;
    query.finish()?;
    let not_a_date = || {
        let message = "date must be a business date, as in 2026-11-24";
        ApiError::invalid("date_invalid", "date", message)
    };
    let request = ReportRequest {
        business_date: date.parse().map_err(|_| not_a_date())?,
        network,
        cut_over: state.cut_over,
        now: state.switchboard.clock.now(),
    };
    check_store(state)?;
    let made = async {
        check_network(&state.store, request.network.as_deref(), &state.networks).await?;
        settlement_report(&state.store, &request).await
    };
    made.await.map_err(|error| match error {
        error @ ReportError::Network { .. } => {
            ApiError::invalid("network_unknown", "network", error.to_string())
        }
        ReportError::Store(error) => store_error(error),
        ReportError::Date(_) => not_a_date(),
        error @ ReportError::TooLarge { .. } => {
            ApiError::invalid("report_too_large", "date", error.to_string())
        }
    })
}
