//! The one table that a check ends with.

/// Rows in the order in which they were found.
#[derive(Default)]
pub struct Table {
    rows: Vec<[String; 6]>,
    wrong: usize,
}

/// What the columns are.
const HEAD: [&str; 6] = ["", "mnistq", "wanted", "PyTorch", "compiled", "its graphs"];

impl Table {
    /// Adds something that is right or wrong.
    pub fn judge(&mut self, figure: impl Into<String>, found: String, wanted: &str, is_right: bool) {
        let found = if is_right { found } else { format!("WRONG {found}") };
        self.wrong += usize::from(!is_right);
        self.add([figure.into(), found, wanted.to_owned()].into());
    }

    /// Adds what was measured, and the same of the peer's three ways if there is one.
    pub fn measure(&mut self, figure: impl Into<String>, found: String, peer: [Option<String>; 3]) {
        let peer = peer.map(|figure| figure.unwrap_or_else(|| "–".to_owned()));
        self.add([vec![figure.into(), found, String::new()], peer.into()].concat());
    }

    /// Whether nothing was wrong.
    pub fn is_all_right(&self) -> bool {
        self.wrong == 0
    }

    /// Prints it, and below it whether all is right.
    pub fn print(&self) {
        print_row(&HEAD.map(str::to_owned));
        self.rows.iter().for_each(print_row);
        match self.wrong {
            0 => println!("all is right"),
            wrong => println!("{wrong} of these are WRONG"),
        }
    }

    fn add(&mut self, cells: Vec<String>) {
        let mut cells = cells.into_iter();
        let row = std::array::from_fn(|_| cells.next().unwrap_or_default());
        print_row(&row);
        self.rows.push(row);
    }
}

fn print_row([figure, found, wanted, rest @ ..]: &[String; 6]) {
    let rest: String = rest.iter().map(|cell| format!(" {cell:>12}")).collect();
    println!(
        "{}",
        format!("{figure:<44} {found:>24} {wanted:>12}{rest}").trim_end()
    );
}
