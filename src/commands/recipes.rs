//! `smp-image recipes`: lists what is built in.

use crate::cli::Format;
use crate::commands::World;
use crate::error::{Failure, Fault};
use crate::recipe::{Recipe, Source, builtin};

pub(super) fn run(format: Format, world: &World) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for builtin in builtin::all() {
        let source = Source::new(format!("built-in:{}", builtin.name), builtin.text);
        let recipe = Recipe::parse(&source).map_err(|error| Failure::new(Fault::Defect, error))?;
        rows.push((builtin.name, recipe.description));
    }
    let text = if format == Format::Json {
        let rows: Vec<_> = rows
            .iter()
            .map(|(name, about)| serde_json::json!({ "name": name, "description": about }))
            .collect();
        format!("{}\n", serde_json::Value::Array(rows))
    } else {
        let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        let lines: Vec<String> =
            rows.iter().map(|(name, about)| format!("{name:width$}  {about}\n")).collect();
        lines.concat()
    };
    world.present(&text, format).map_err(|error| super::failure::stdout(&error))
}
