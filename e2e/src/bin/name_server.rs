//! A hostile name server, which answers what it is asked to: its answers stand in the name.
//!
//! `c0a80001.7f000001.anything.test` is 192.168.0.1 when it is first asked for, and 127.0.0.1 from then on: each label at
//! the front is an answer, and the last of them stays. An answer is made of addresses joined by hyphens, of 8 (IPv4) or 32
//! (IPv6) hexadecimal digits each, or it is `nothing` (there is no such name) or `silence`. IPv4 and IPv6 are asked for
//! separately, and each question has its own turns. No answer may be kept: its time to live is 0.
//!
//! It is part of the image with failpoints, where a resolver finds it at port 53. The compiler builds it from this one file
//! there, so it uses nothing but the standard library.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

const PORT: u16 = 53;
/// Longer ones come only over TCP.
const QUESTION_BYTES_MAX: usize = 512;
const HEADER_BYTES: usize = 12;
const A: u16 = 1;
const AAAA: u16 = 28;
const IN: u16 = 1;
/// A response, authoritative; recursion is available if wanted.
const FLAGS: u16 = 0x8580;
const NO_SUCH_NAME: u16 = 3;
/// The name of the question, again.
const SAME_NAME: [u8; 2] = [0xc0, 12];

fn main() -> std::io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT))?;
    println!("answering");
    let (mut turns, mut buffer) = (Turns::default(), [0; QUESTION_BYTES_MAX]);
    loop {
        let (size, asker) = socket.recv_from(&mut buffer)?;
        let Some(question) = Question::read(&buffer[..size]) else { continue };
        let answer = turns.answer(&question);
        println!("{} {} -> {answer:?}", question.name, if question.kind == A { "A" } else { "other" });
        if let Some(response) = question.response(&answer) {
            socket.send_to(&response, asker)?;
        }
    }
}

/// What one name is said to be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    Addresses(Vec<IpAddr>),
    Nothing,
    Silence,
}

impl Answer {
    fn of(label: &str) -> Option<Answer> {
        match label {
            "nothing" => Some(Answer::Nothing),
            "silence" => Some(Answer::Silence),
            label => label.split('-').map(address).collect::<Option<_>>().map(Answer::Addresses),
        }
    }
}

fn address(digits: &str) -> Option<IpAddr> {
    match digits.len() {
        8 => u32::from_str_radix(digits, 16).ok().map(|bits| Ipv4Addr::from(bits).into()),
        32 => u128::from_str_radix(digits, 16).ok().map(|bits| Ipv6Addr::from(bits).into()),
        _ => None,
    }
}

/// How often each question was asked.
#[derive(Default)]
struct Turns(HashMap<(String, u16), usize>);

impl Turns {
    /// The answer whose turn it is. A name without one does not exist.
    fn answer(&mut self, question: &Question<'_>) -> Answer {
        let asked = self.0.entry((question.name.clone(), question.kind)).or_default();
        let mut answers: Vec<_> = question.name.split('.').map_while(Answer::of).collect();
        let turn = (*asked).min(answers.len().saturating_sub(1));
        *asked += 1;
        if answers.is_empty() { Answer::Nothing } else { answers.swap_remove(turn) }
    }
}

struct Question<'a> {
    id: [u8; 2],
    /// In small letters, without the dot at the end.
    name: String,
    kind: u16,
    /// As it was asked.
    bytes: &'a [u8],
}

impl Question<'_> {
    fn read(message: &[u8]) -> Option<Question<'_>> {
        let (header, question) = message.split_at_checked(HEADER_BYTES)?;
        let (mut labels, mut rest) = (Vec::new(), question);
        loop {
            let (length, after) = rest.split_first()?;
            rest = after;
            if *length == 0 {
                break;
            }
            let (label, after) = rest.split_at_checked(usize::from(*length))?;
            labels.push(std::str::from_utf8(label).ok()?.to_ascii_lowercase());
            rest = after;
        }
        let kind = u16::from_be_bytes(rest.get(..2)?.try_into().ok()?);
        let bytes = question.get(..question.len() - rest.len() + 4)?;
        Some(Question { id: [header[0], header[1]], name: labels.join("."), kind, bytes })
    }

    /// The message to send; none: silence.
    fn response(&self, answer: &Answer) -> Option<Vec<u8>> {
        let (code, addresses) = match answer {
            Answer::Silence => return None,
            Answer::Nothing => (NO_SUCH_NAME, &[][..]),
            Answer::Addresses(addresses) => (0, &addresses[..]),
        };
        let octets = |address: &IpAddr| match address {
            IpAddr::V4(address) if self.kind == A => Some(address.octets().to_vec()),
            IpAddr::V6(address) if self.kind == AAAA => Some(address.octets().to_vec()),
            _ => None,
        };
        let records: Vec<_> = addresses.iter().filter_map(octets).collect();
        let mut message = self.id.to_vec();
        let counts = [FLAGS | code, 1, u16::try_from(records.len()).ok()?, 0, 0];
        message.extend(counts.into_iter().flat_map(u16::to_be_bytes));
        message.extend(self.bytes);
        for octets in records {
            message.extend(SAME_NAME);
            message.extend([self.kind, IN].into_iter().flat_map(u16::to_be_bytes));
            message.extend(0_u32.to_be_bytes());
            message.extend(u16::try_from(octets.len()).ok()?.to_be_bytes());
            message.extend(octets);
        }
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(turns: &mut Turns, name: &str, kind: u16) -> Option<Vec<u8>> {
        let mut message = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            message.push(label.len() as u8);
            message.extend(label.as_bytes());
        }
        message.push(0);
        message.extend([kind, IN].into_iter().flat_map(u16::to_be_bytes));
        let question = Question::read(&message).expect("a question");
        let answer = turns.answer(&question);
        question.response(&answer)
    }

    #[test]
    fn answers_follow_one_another_and_the_last_one_stays() {
        let mut turns = Turns::default();
        let name = "0a000001.7F000001-0a000002.nothing.x.test";
        let mut ends = |kind| ask(&mut turns, name, kind).map(|message| message[message.len() - 4..].to_vec());
        assert_eq!(ends(A), Some(vec![10, 0, 0, 1]));
        assert_eq!(ends(A), Some(vec![10, 0, 0, 2]));
        let gone = ask(&mut turns, name, A).expect("an answer");
        assert_eq!(gone[..8], [7, 9, 0x85, 0x83, 0, 1, 0, 0], "no such name, and no address");
        assert_eq!(ask(&mut turns, name, A), Some(gone));
    }

    #[test]
    fn each_kind_of_address_has_its_own_question_and_turns() {
        let mut turns = Turns::default();
        let name = "0a000001-fd000000000000000000000000000001.0a000002.test";
        let [first, second] = [A, AAAA].map(|kind| ask(&mut turns, name, kind).expect("an answer"));
        assert_eq!((first[7], &first[first.len() - 4..]), (1, &[10, 0, 0, 1][..]));
        assert_eq!((second[7], second[second.len() - 16], second[second.len() - 1]), (1, 0xfd, 1));
        assert_eq!(ask(&mut turns, name, AAAA).expect("an answer")[7], 0, "the second answer has none of the kind");
    }

    #[test]
    fn silence_is_no_answer_and_an_unknown_name_does_not_exist() {
        let mut turns = Turns::default();
        assert_eq!(ask(&mut turns, "silence.test", A), None);
        assert_eq!(ask(&mut turns, "example.test", A).expect("an answer")[3], 0x83);
    }

    #[test]
    fn what_is_no_question_is_passed_over() {
        assert!(Question::read(b"short").is_none());
        assert!(Question::read(&[0; HEADER_BYTES]).is_none());
        assert!(Question::read(&[vec![0; HEADER_BYTES], vec![63, b'a']].concat()).is_none());
    }
}
