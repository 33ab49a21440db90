//! Makes a program for the kernel's filter of system calls (seccomp(2), classic BPF) out of a table that
//! says how each number is answered. What is refused is not decided here.
//!
//! Numbers are found by halving, nine comparisons at most: to install a program the kernel runs it once for
//! each number, and calls whose arguments are looked at, such as `openat`, run it every time.

use std::collections::BTreeMap;

use libc::sock_filter;

/// How a system call is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// By the kernel, as if there were no filter.
    Allow,
    /// With this error.
    Errno(i32),
    /// With this error where all tests of any of the lists hold.
    ErrnoWhere(i32, Vec<Vec<Test>>),
}

/// A test of the low 32 bits of an argument, which are all that the kernel looks at in these calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Test {
    argument: u8,
    against: Against,
    holds: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Against {
    AnyBit(u32),
    Value(u32),
}

/// The argument has any of these bits.
pub(super) const fn has(argument: u8, bits: i32) -> Test {
    Test {
        argument,
        against: Against::AnyBit(bits.cast_unsigned()),
        holds: true,
    }
}

/// The argument has this value.
pub(super) const fn is(argument: u8, value: u32) -> Test {
    Test {
        argument,
        against: Against::Value(value),
        holds: true,
    }
}

/// The opposite of a test.
pub(super) const fn not(test: Test) -> Test {
    Test {
        holds: !test.holds,
        ..test
    }
}

/// The system calls of a table by number; those that it does not name are allowed.
pub(super) type Table = BTreeMap<u32, Answer>;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;
#[cfg(target_arch = "riscv64")]
const ARCHITECTURE: u32 = 0xc000_00f3;

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
const JUMP: u32 = libc::BPF_JMP | libc::BPF_JA;
const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const IF_AT_LEAST: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
const IF_ANY_BIT: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;

/// Offsets in the kernel's `seccomp_data`: the number, the architecture, the low half of an argument (all
/// architectures above put it first).
const NUMBER: u32 = 0;
const AUDIT_ARCHITECTURE: u32 = 4;
const fn argument(index: u8) -> u32 {
    16 + 8 * index as u32
}

/// The program of a table. Numbers above `newest` do not exist; another architecture's entry kills.
pub(super) fn program(table: &Table, newest: u32) -> Vec<sock_filter> {
    const MISSING: &Answer = &Answer::Errno(libc::ENOSYS);
    let mut spans: Vec<(u32, &Answer)> = Vec::new();
    for number in 0..=newest {
        let answer = table.get(&number).unwrap_or(&Answer::Allow);
        if spans.last().is_none_or(|(_, last)| *last != answer) {
            spans.push((number, answer));
        }
    }
    spans.push((newest + 1, MISSING));
    let mut program = vec![
        step(LOAD, AUDIT_ARCHITECTURE),
        jump(IF_EQUAL, ARCHITECTURE, 1, 0),
        step(RETURN, libc::SECCOMP_RET_KILL_PROCESS),
        step(LOAD, NUMBER),
    ];
    program.extend(choose(&spans));
    program
}

/// Finds the span of the number that was loaded. All spans end in an answer, none falls through.
fn choose(spans: &[(u32, &Answer)]) -> Vec<sock_filter> {
    let (low, high) = spans.split_at(spans.len() / 2);
    match (low, high) {
        ([], []) => Vec::new(),
        ([], [(_, answer), ..]) => answers(answer),
        (_, [(from, _), ..]) => {
            let low = choose(low);
            let mut program = skip(IF_AT_LEAST, *from, low.len());
            program.extend(low);
            program.extend(choose(high));
            program
        }
        (_, []) => choose(low),
    }
}

/// A jump over so many steps where the comparison holds. Conditional ones reach 255 steps at most.
fn skip(comparison: u32, value: u32, steps: usize) -> Vec<sock_filter> {
    match u8::try_from(steps) {
        Ok(near) => vec![jump(comparison, value, near, 0)],
        Err(_) => {
            let far = u32::try_from(steps).unwrap_or(u32::MAX); // the kernel takes 4,096 steps at most
            vec![jump(comparison, value, 0, 1), step(JUMP, far)]
        }
    }
}

fn answers(answer: &Answer) -> Vec<sock_filter> {
    let refuse = |errno: i32| step(RETURN, libc::SECCOMP_RET_ERRNO | errno.cast_unsigned());
    let allow = step(RETURN, libc::SECCOMP_RET_ALLOW);
    match answer {
        Answer::Allow => vec![allow],
        Answer::Errno(errno) => vec![refuse(*errno)],
        Answer::ErrnoWhere(errno, lists) => {
            let mut program = Vec::new();
            for tests in lists {
                for (number, test) in tests.iter().enumerate() {
                    // to the next list, over the tests that are left and the refusal
                    let over = u8::try_from(2 * (tests.len() - number) - 1).unwrap_or(u8::MAX);
                    let (comparison, value) = match test.against {
                        Against::AnyBit(bits) => (IF_ANY_BIT, bits),
                        Against::Value(value) => (IF_EQUAL, value),
                    };
                    let (yes, no) = if test.holds { (0, over) } else { (over, 0) };
                    program.push(step(LOAD, argument(test.argument)));
                    program.push(jump(comparison, value, yes, no));
                }
                program.push(refuse(*errno));
            }
            program.push(allow);
            program
        }
    }
}

fn step(code: u32, k: u32) -> sock_filter {
    jump(code, k, 0, 0)
}

fn jump(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    let code = u16::try_from(code).unwrap_or(u16::MAX); // codes are below 256
    sock_filter { code, jt, jf, k }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel does with a program: the value that it returns, and after how many steps.
    fn run(program: &[sock_filter], architecture: u32, number: u32, of: [u32; 6]) -> (u32, usize) {
        let (mut at, mut loaded, mut steps) = (0, 0, 0);
        loop {
            let now = program[at];
            (at, steps) = (at + 1, steps + 1);
            let holds = match u32::from(now.code) {
                RETURN => return (now.k, steps),
                LOAD => {
                    loaded = match now.k {
                        NUMBER => number,
                        AUDIT_ARCHITECTURE => architecture,
                        offset => of[(offset as usize - 16) / 8],
                    };
                    continue;
                }
                JUMP => {
                    at += now.k as usize;
                    continue;
                }
                IF_EQUAL => loaded == now.k,
                IF_AT_LEAST => loaded >= now.k,
                IF_ANY_BIT => loaded & now.k != 0,
                code => panic!("{code:#x}"),
            };
            at += usize::from(if holds { now.jt } else { now.jf });
        }
    }

    /// The same by the words of the table alone.
    fn meant(table: &Table, newest: u32, number: u32, of: [u32; 6]) -> u32 {
        let errno = |errno: i32| libc::SECCOMP_RET_ERRNO | errno.cast_unsigned();
        let holds = |test: &Test| {
            let value = of[usize::from(test.argument)];
            let found = match test.against {
                Against::AnyBit(bits) => value & bits != 0,
                Against::Value(wanted) => value == wanted,
            };
            found == test.holds
        };
        match table.get(&number) {
            _ if number > newest => errno(libc::ENOSYS),
            None | Some(Answer::Allow) => libc::SECCOMP_RET_ALLOW,
            Some(Answer::Errno(code)) => errno(*code),
            Some(Answer::ErrnoWhere(code, lists)) if lists.iter().any(|l| l.iter().all(holds)) => {
                errno(*code)
            }
            Some(Answer::ErrnoWhere(..)) => libc::SECCOMP_RET_ALLOW,
        }
    }

    #[test]
    fn a_program_answers_as_its_table_says() {
        let some = Answer::ErrnoWhere(
            libc::EPERM,
            vec![vec![has(0, 6), not(is(1, 7))], vec![is(2, 9)]],
        );
        // many spans, so that jumps are longer than a conditional one can be
        let every_third = (0..400).step_by(3).map(|n| (n, Answer::Errno(libc::EPERM)));
        let every_fifth = (0..400).step_by(5).map(|n| (n, some.clone()));
        for table in [
            Table::new(),
            every_third.clone().collect(),
            every_third.chain(every_fifth).collect(),
        ] {
            let program = program(&table, 462);
            assert!(program.len() < 4096);
            for number in (0..600).chain([0x4000_0000, 0x4000_0101, u32::MAX]) {
                for of in [
                    [0; 6],
                    [2, 0, 0, 0, 0, 0],
                    [4, 7, 0, 0, 0, 0],
                    [0, 7, 9, 0, 0, 0],
                    [1, 7, 8, 0, 0, 0],
                    [u32::MAX; 6],
                ] {
                    let (answer, steps) = run(&program, ARCHITECTURE, number, of);
                    assert_eq!(answer, meant(&table, 462, number, of), "{number} {of:?}");
                    assert!(steps < 40, "{number}: {steps}");
                }
            }
            let (answer, _) = run(&program, 0x4000_0003, 1, [0; 6]);
            assert_eq!(answer, libc::SECCOMP_RET_KILL_PROCESS);
        }
    }
}
