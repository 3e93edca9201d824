//! Whose order is next, when more wait than may be under way: institutions take turns, one order each, so that
//! nobody gets a larger share by asking for more. Within an institution its jobs wait for its other orders.
//!
//! Pure: it admits, and whoever asked is woken elsewhere ([`crate::queue`]).

use std::collections::{BTreeMap, VecDeque};

use xinqiao_ledger::ids::OrgId;

/// How many orders are under way and wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnLimits {
    /// Orders of all institutions that are put on the ledger at once.
    pub under_way: u32,
    /// The same of one institution.
    pub of_institution: u32,
    /// Orders of one institution that wait for their turn.
    pub waiting: u32,
}

impl Default for TurnLimits {
    /// Twice as much as one institution may have is room for all.
    fn default() -> Self {
        Self {
            under_way: 256,
            of_institution: 128,
            waiting: 1_024,
        }
    }
}

/// As many of an institution wait as may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMany;

/// Which one of those that wait.
pub(crate) type Ticket = u64;

#[derive(Debug, Default)]
struct Line {
    orders: VecDeque<Ticket>,
    of_jobs: VecDeque<Ticket>,
    under_way: u32,
}

impl Line {
    fn waiting(&self) -> usize {
        self.orders.len() + self.of_jobs.len()
    }
}

/// Who is under way and who waits.
#[derive(Debug)]
pub(crate) struct Turns {
    limits: TurnLimits,
    lines: BTreeMap<OrgId, Line>,
    /// Institutions some of whose orders wait, the next one first.
    round: VecDeque<OrgId>,
    under_way: u32,
    tickets: Ticket,
}

impl Turns {
    pub(crate) fn new(limits: TurnLimits) -> Self {
        let at_least_one = |count: u32| count.max(1);
        Self {
            limits: TurnLimits {
                under_way: at_least_one(limits.under_way),
                of_institution: at_least_one(limits.of_institution),
                waiting: limits.waiting,
            },
            lines: BTreeMap::new(),
            round: VecDeque::new(),
            under_way: 0,
            tickets: 0,
        }
    }

    /// Gets in line. An order that need not wait is always taken.
    pub(crate) fn join(&mut self, org: &OrgId, of_job: bool) -> Result<Ticket, TooMany> {
        let line = self.lines.entry(org.clone()).or_default();
        let at_once = self.under_way < self.limits.under_way
            && line.under_way < self.limits.of_institution
            && line.waiting() == 0;
        if !at_once && line.waiting() >= self.limits.waiting as usize {
            return Err(TooMany);
        }
        if line.waiting() == 0 {
            self.round.push_back(org.clone());
        }
        self.tickets += 1;
        match of_job {
            true => line.of_jobs.push_back(self.tickets),
            false => line.orders.push_back(self.tickets),
        }
        Ok(self.tickets)
    }

    /// Whose turn it is; to be asked until nobody's.
    pub(crate) fn next(&mut self) -> Option<Ticket> {
        if self.under_way >= self.limits.under_way {
            return None;
        }
        for _ in 0..self.round.len() {
            let org = self.round.pop_front()?;
            let line = self.lines.get_mut(&org)?;
            if line.under_way >= self.limits.of_institution {
                self.round.push_back(org);
                continue;
            }
            let ticket = line.orders.pop_front().or_else(|| line.of_jobs.pop_front());
            if line.waiting() > 0 {
                self.round.push_back(org);
            }
            line.under_way += 1;
            self.under_way += 1;
            return ticket;
        }
        None
    }

    /// One that had its turn is done.
    pub(crate) fn done(&mut self, org: &OrgId) {
        if let Some(line) = self.lines.get_mut(org) {
            line.under_way = line.under_way.saturating_sub(1);
            self.under_way = self.under_way.saturating_sub(1);
        }
        self.forget(org);
    }

    /// One that waited has gone away.
    pub(crate) fn leave(&mut self, org: &OrgId, ticket: Ticket) {
        if let Some(line) = self.lines.get_mut(org) {
            line.orders.retain(|one| *one != ticket);
            line.of_jobs.retain(|one| *one != ticket);
            if line.waiting() == 0 {
                self.round.retain(|one| one != org);
            }
        }
        self.forget(org);
    }

    fn forget(&mut self, org: &OrgId) {
        let idle = |line: &Line| line.under_way == 0 && line.waiting() == 0;
        if self.lines.get(org).is_some_and(idle) {
            self.lines.remove(org);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn org(name: &str) -> OrgId {
        name.parse().unwrap()
    }

    fn turns(under_way: u32, of_institution: u32, waiting: u32) -> Turns {
        Turns::new(TurnLimits {
            under_way,
            of_institution,
            waiting,
        })
    }

    /// One event after another, and whose turn each brings: `+a` an order of a, `*a` one of a job of a, `-a` one
    /// of a is done, `~a` the last of a that joined goes away.
    fn play(mut turns: Turns, events: &str) -> String {
        let mut names = BTreeMap::new();
        let mut last = BTreeMap::new();
        let mut shown = Vec::new();
        for event in events.split_whitespace() {
            let (what, name) = event.split_at(1);
            let org = org(name);
            match what {
                "+" | "*" => match turns.join(&org, what == "*") {
                    Ok(ticket) => {
                        let number = names.len() + 1;
                        names.insert(ticket, format!("{name}{number}"));
                        last.insert(name.to_owned(), ticket);
                    }
                    Err(TooMany) => shown.push(format!("!{name}")),
                },
                "-" => turns.done(&org),
                _ => turns.leave(&org, last[name]),
            }
            while let Some(ticket) = turns.next() {
                shown.push(names[&ticket].clone());
            }
        }
        shown.join(" ")
    }

    #[test]
    fn turns_are_as_the_table_says() {
        // (under way, of one institution, waiting), events, whose turn it was
        let table = [
            ((2, 2, 9), "+a +a +a -a", "a1 a2 a3"),
            // Whoever comes second gets every other turn, however many wait before.
            ((1, 1, 9), "+a +a +a +a +b +b -a -a -b -a", "a1 a2 b5 a3 b6"),
            // Other orders go before those of jobs, within an institution only.
            ((1, 1, 9), "*a *a *b +a -a -a -b -a", "a1 a4 b3 a2"),
            // One institution's bound leaves room for others.
            ((3, 2, 9), "+a +a +a +b -a", "a1 a2 b4 a3"),
            // Too many wait: that is said, and others are none the worse.
            ((1, 1, 2), "+a +a +a +a +b -a", "a1 !a a2"),
            // Whoever goes away while waiting takes nobody's turn.
            ((1, 1, 9), "+a +b +a ~b -a -a", "a1 a3"),
            ((1, 1, 0), "+a +a -a +a", "a1 !a a2"),
        ];
        for ((under_way, of_one, waiting), events, expected) in table {
            let shown = play(turns(under_way, of_one, waiting), events);
            assert_eq!(shown, expected, "{events}");
        }
    }

    #[test]
    fn shares_are_alike_however_unlike_the_demand() {
        let mut turns = turns(8, 6, 10_000);
        let demand = [("a", 5_000), ("b", 500), ("c", 400)];
        let mut owner = BTreeMap::new();
        for (name, count) in demand {
            for _ in 0..count {
                owner.insert(turns.join(&org(name), true).unwrap(), name);
            }
        }
        let mut had: BTreeMap<&str, u32> = BTreeMap::new();
        let mut under_way = VecDeque::new();
        for _ in 0..1_000 {
            while let Some(ticket) = turns.next() {
                under_way.push_back(owner[&ticket]);
            }
            let done = under_way.pop_front().unwrap();
            *had.entry(done).or_default() += 1;
            turns.done(&org(done));
        }
        let (least, most) = (had.values().min().unwrap(), had.values().max().unwrap());
        assert!(most - least <= 2, "{had:?}");
        assert_eq!(had.len(), 3);
    }

    #[test]
    fn nothing_is_remembered_of_who_is_gone() {
        let mut turns = turns(1, 1, 9);
        for name in ["a", "b", "c"] {
            let ticket = turns.join(&org(name), false).unwrap();
            if turns.next().is_some() {
                turns.done(&org(name));
            } else {
                turns.leave(&org(name), ticket);
            }
        }
        assert!(turns.lines.is_empty() && turns.round.is_empty());
        assert_eq!(turns.under_way, 0);
    }
}
