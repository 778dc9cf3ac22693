//! String accuracy, models down, lengths across.

use comfy_table::{CellAlignment, Table, presets};

use super::records::Record;

/// The means over seeds.
pub fn by_length(records: &[Record]) -> Table {
    let mut lengths: Vec<usize> = records.iter().map(|record| record.test_len).collect();
    lengths.sort_unstable();
    lengths.dedup();
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN);
    let head = ["model", "parameters", "state at the longest"].map(String::from);
    table.set_header(head.into_iter().chain(lengths.iter().map(usize::to_string)).chain(["seconds".into()]));
    for name in names(records) {
        let own: Vec<&Record> = records.iter().filter(|record| record.model == name).collect();
        let state = own.iter().map(|record| record.state_bytes).max().unwrap_or(0);
        let seconds = mean(own.iter().map(|record| record.seconds));
        let accuracy = |length: &usize| {
            let at = own.iter().filter(|record| record.test_len == *length);
            format!("{:.3}", mean(at.map(|record| record.string_accuracy)))
        };
        let row = [name.clone(), own[0].params.to_string(), format!("{:.0} KiB", state as f64 / 1024.0)];
        table.add_row(row.into_iter().chain(lengths.iter().map(accuracy)).chain([format!("{seconds:.0}")]));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Models in the order of their first record.
pub fn names(records: &[Record]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for record in records {
        if !names.contains(&record.model) {
            names.push(record.model.clone());
        }
    }
    names
}

/// The arithmetic mean; 0 of nothing.
pub fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    sum / f64::from(count.max(1))
}
