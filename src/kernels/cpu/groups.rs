//! Heads that share a key head.

use std::mem::take;

/// How work is cut: a task owns some of the heads that share a key head of one row. Every head has exactly one task, which is
/// what kernels rely on that write from several tasks into one array.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tasks {
    batch: usize,
    groups: usize,
    of_a_group: usize,
    /// Tasks of a key head.
    pub(super) parts: usize,
}

/// One task's heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heads {
    pub(super) row: usize,
    pub(super) group: usize,
    /// Which part of the group.
    pub(super) part: usize,
    pub(super) first: usize,
    pub(super) count: usize,
}

impl Tasks {
    /// `enough` tasks or more, as far as there are heads; `groups` divides `heads`. The number of threads has no say, so that
    /// results do not depend on it.
    pub(super) fn new(batch: usize, heads: usize, groups: usize, enough: usize) -> Self {
        debug_assert!(groups > 0 && heads.is_multiple_of(groups), "{heads} heads of {groups} groups");
        let of_a_group = heads / groups;
        let parts = enough.div_ceil((batch * groups).max(1)).min(of_a_group);
        Self { batch, groups, of_a_group, parts }
    }

    pub(super) fn count(self) -> usize {
        self.batch * self.groups * self.parts
    }

    pub(super) fn heads(self, task: usize) -> Heads {
        let of_a_row = self.groups * self.parts;
        let (row, rest) = (task / of_a_row, task % of_a_row);
        let (group, part) = (rest / self.parts, rest % self.parts);
        // Parts differ by one head at most.
        let [first, end] = [part, part + 1].map(|part| part * self.of_a_group / self.parts);
        Heads { row, group, part, first: group * self.of_a_group + first, count: end - first }
    }

    /// The tasks and what is theirs of an array `[batch, heads, size]`.
    pub(super) fn shares<F>(self, mut array: &mut [F], size: usize) -> Vec<(Heads, &mut [F])> {
        let mut share = |heads: Heads| {
            let (own, rest) = take(&mut array).split_at_mut(heads.count * size);
            array = rest;
            (heads, own)
        };
        (0..self.count()).map(|task| share(self.heads(task))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_head_has_one_task() {
        for (batch, heads, groups) in
            [(1, 1, 1), (3, 8, 8), (4, 14, 2), (1, 28, 4), (2, 71, 1), (2, 20, 1), (40, 6, 2)]
        {
            let tasks = Tasks::new(batch, heads, groups, 16);
            assert!(tasks.count() >= 16.min(batch * heads), "{tasks:?}");
            let mut owners = vec![0; batch * heads];
            for task in 0..tasks.count() {
                let Heads { row, group, part, first, count } = tasks.heads(task);
                assert_eq!((row * groups + group) * tasks.parts + part, task);
                for head in first..first + count {
                    assert_eq!(head / (heads / groups), group);
                    owners[row * heads + head] += 1;
                }
            }
            assert!(owners.iter().all(|&owners| owners == 1), "{tasks:?}: {owners:?}");
            let mut numbers: Vec<usize> = (0..2 * batch * heads).collect();
            for (Heads { row, first, count, .. }, own) in tasks.shares(&mut numbers, 2) {
                let start = 2 * (row * heads + first);
                assert_eq!(own, (start..start + 2 * count).collect::<Vec<_>>());
            }
        }
    }

    /// What tasks of a group keep apart, such as gradients of its keys, is no more than needed.
    #[test]
    fn tasks_are_as_few_as_asked() {
        let parts = |batch, heads, groups| Tasks::new(batch, heads, groups, 16).parts;
        assert_eq!([parts(1, 71, 1), parts(4, 14, 2), parts(2, 71, 1), parts(16, 71, 1)], [16, 2, 8, 1]);
        assert_eq!(Tasks::new(0, 6, 2, 16).count(), 0);
    }
}
