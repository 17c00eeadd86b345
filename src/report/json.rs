//! The final report as one JSON document, and its schema.

use super::{Report, ReportError};

/// Returns `report` as indented JSON that ends with a line end.
pub fn render(report: &Report) -> Result<String, ReportError> {
    Ok(serde_json::to_string_pretty(report)? + "\n")
}

/// Returns the JSON Schema of the report.
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(Report)
}
