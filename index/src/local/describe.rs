//! How are vectors searched right now, in words?

use super::LocalStore;
use crate::filter::Pass;
use crate::vector::kernel_name;

impl LocalStore {
    /// `exact scan of 1,234 vectors`, or `graph over 60,000 vectors + scan of 12 newer`, and
    /// the instructions in use: `, by avx512-vnni`.
    pub fn describe_vector_index(&self) -> String {
        let snapshot = self.inner.snapshot();
        let rows = &snapshot.rows;
        let kernel = kernel_name();
        let live = rows.count(&Pass::default());
        match self.inner.graph_of(&snapshot) {
            Some(graph) if live >= self.inner.options.graph_from as u64 => {
                let tail = rows.living(graph.covered(), rows.len());
                let graph = grouped(graph.size() as u64);
                format!("graph over {graph} vectors + scan of {} newer, by {kernel}", grouped(tail))
            }
            _ => format!("exact scan of {} vectors, by {kernel}", grouped(live)),
        }
    }
}

/// `1,234,567`
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn thousands() {
        for (n, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(grouped(n), text);
        }
    }
}
