//! The table of what a month costs adds up, and counts what the templates make.

use oms_tests::workspace_root;
use serde_json::Value;

use super::{shape, template::text};

/// The stages of the columns.
const COLUMNS: [&str; 3] = ["dev", "prod", "prod"];

struct Row {
    what: String,
    price: f64,
    /// A quantity and its cost for each column.
    columns: Vec<(f64, f64)>,
}

fn number(cell: &str) -> f64 {
    let plain = cell.replace([',', '*', '|'], "");
    plain.trim().parse().unwrap_or_else(|_| panic!("{cell:?} is no number"))
}

/// The rows, and the sums in the last one.
fn table() -> (Vec<Row>, Vec<f64>) {
    let page = std::fs::read_to_string(workspace_root().join("docs/cost.md")).unwrap();
    let mut lines = page.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")).skip(2);
    let mut rows = Vec::new();
    loop {
        let cells: Vec<&str> = lines.next().expect("a row with the sums").split(" | ").collect();
        if cells[0].contains("a month") {
            let sums = cells.iter().filter(|cell| cell.contains('.')).map(|cell| number(cell)).collect();
            return (rows, sums);
        }
        let columns = cells[3..].chunks(2).map(|pair| (number(pair[0]), number(pair[1]))).collect();
        rows.push(Row { what: cells[0].to_owned(), price: number(cells[2]), columns });
    }
}

#[test]
fn every_cost_is_its_price_times_its_quantity_and_the_sums_are_right() {
    let (rows, sums) = table();
    assert!(rows.len() > 25 && sums.len() == 3, "{} rows, {sums:?}", rows.len());
    for (column, sum) in sums.iter().enumerate() {
        let mut total = 0.0;
        for row in &rows {
            let (quantity, cost) = row.columns[column];
            let product = row.price * quantity;
            assert!(
                (product - cost).abs() < 0.0051,
                "{}: {} x {quantity} is {product}, not {cost}",
                row.what,
                row.price
            );
            total += cost;
        }
        assert!((total - sum).abs() < 0.005, "column {column}: {total}, not {sum}");
    }
}

#[test]
fn what_the_templates_make_is_counted() {
    let (rows, _) = table();
    let quantity = |what: &str, column: usize| {
        let row = rows.iter().find(|row| row.what.starts_with(what)).unwrap_or_else(|| panic!("no row {what}"));
        row.columns[column].0
    };
    for (column, stage) in COLUMNS.into_iter().enumerate() {
        let made = shape::resources(stage);
        let of = |kind: &str| {
            made.iter().filter(|resource| resource.2 == kind).map(|resource| &resource.3).collect::<Vec<_>>()
        };
        let interface = |endpoint: &&&Value| endpoint["VpcEndpointType"] == "Interface";
        let zones: usize = of("AWS::EC2::VPCEndpoint").iter().filter(interface).map(|endpoint| zones(endpoint)).sum();
        let count = |number: usize| f64::from(u32::try_from(number).unwrap());
        assert_eq!(quantity("Interface endpoints", column), 730.0 * count(zones), "{stage}: endpoints");
        assert_eq!(quantity("KMS keys", column), count(of("AWS::KMS::Key").len()), "{stage}: keys");
        let alarms = of("AWS::CloudWatch::Alarm").len();
        assert_eq!(quantity("CloudWatch, alarms", column), count(alarms), "{stage}: alarms");
    }
}

/// In how many zones an endpoint is.
fn zones(endpoint: &Value) -> usize {
    let subnets = &endpoint["SubnetIds"];
    subnets.as_array().map_or_else(|| text(subnets).split(',').count(), Vec::len)
}
