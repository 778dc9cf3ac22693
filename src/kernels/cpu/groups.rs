//! Heads that share a key head.

/// How work is cut: a task owns some of the heads that share a key head of one row.
#[derive(Clone, Copy)]
pub(super) struct Tasks {
    groups: usize,
    /// Tasks of a key head.
    pub(super) parts: usize,
    /// Heads of a task.
    pub(super) heads: usize,
}

/// One task's heads.
#[derive(Clone, Copy)]
pub(super) struct Heads {
    pub(super) row: usize,
    pub(super) group: usize,
    pub(super) part: usize,
    pub(super) first: usize,
}

impl Tasks {
    /// `least` tasks or more, as far as there are heads. The number of threads has no say, so that results do not depend on it.
    pub(super) fn new(batch: usize, heads: usize, groups: usize, least: usize) -> Self {
        let of_a_group = heads / groups;
        let enough = |parts: &usize| of_a_group.is_multiple_of(*parts) && batch * groups * parts >= least;
        let parts = (1..=of_a_group).find(enough).unwrap_or(of_a_group);
        Self { groups, parts, heads: of_a_group / parts }
    }

    pub(super) fn task(self, task: usize) -> Heads {
        let of_a_row = self.groups * self.parts;
        let (row, rest) = (task / of_a_row, task % of_a_row);
        Heads { row, group: rest / self.parts, part: rest % self.parts, first: rest * self.heads }
    }
}
