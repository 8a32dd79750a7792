//! The leads that are posted: each is another person, and long ones say what hardly compresses.

use std::sync::{
    LazyLock,
    atomic::{AtomicUsize, Ordering},
};

static FIRST: LazyLock<Vec<&str>> = LazyLock::new(|| {
    "Sarah Amelia Oliver Zoë Harry Isla Noah Priya Tomasz Grace Aoife Mohammed Chloe Declan Yuki Hannah \
     Callum Siân Farah Joshua Megan Rhys Agnieszka Daniel Emily Kwame Lucy Matteo Niamh Owen Poppy Rajesh \
     Sofia Theo Uma Victoria William Ximena Yusuf Beatrice"
        .split(' ')
        .collect()
});
static LAST: LazyLock<Vec<&str>> = LazyLock::new(|| {
    "Patel Smith Jones Kowalska Brown Evans Walker Taylor Davies Wilson Okafor O'Brien Hughes Green Begum \
     Murphy Clarke Singh Robinson Thompson White Nowak Edwards Wood Harris Khan Martin Cooper Ward Rossi \
     Morgan Campbell Fraser MacDonald Hamilton Price Bennett Ahmed Griffiths Shaw Ellis Tanaka Gallagher \
     Mensah Fernández Lloyd Whitfield"
        .split(' ')
        .collect()
});
/// So many messages are written before a flood, which are sent in turn.
const MESSAGES: usize = 64;

/// How many leads were made.
static MADE: AtomicUsize = AtomicUsize::new(0);

/// A lead as forms send it, of the next person, under this uuid.
pub(crate) fn lead(uuid: &str) -> String {
    let n = MADE.fetch_add(1, Ordering::Relaxed);
    // Their numbers, 40 and 47, have no common divisor: each pair comes before one comes again.
    let (first, last) = (FIRST[n % FIRST.len()], LAST[n % LAST.len()]);
    let phone = 7_400_000_000 + n % 600_000_000;
    format!(
        r#"{{"event":"lead.created","version":"v1","lead":{{"uuid":"{uuid}","name":"{first} {last}","email":"guest.{n}@example.com","phone":"+44{phone}","event_type":"wedding","event_date":"2026-09-12","guest_count":80,"gdpr_consent":true,"source_url":"https://theoldbarn.example/book","utm":{{"source":"google","medium":"cpc","campaign":"summer_weddings_2026"}}}},"quote":{{"uuid":"01j8h6kqh5gqp8m8t9wnf8c2y0","proposal_url":"https://quote.example/p/9f3aXjh2z6kQpTu1mVeR","subtotal_pence":920000,"rules_pence":138000,"vat_pence":211600,"total_pence":1269600,"currency":"GBP","items":[{{"name":"Exclusive venue hire","quantity":1,"unit_pence":350000,"total_pence":350000}},{{"name":"Wedding feast, main course","quantity":80,"unit_pence":4500,"total_pence":360000}}]}},"viewing":{{"starts_at":"2026-06-04T14:00:00+01:00","ends_at":"2026-06-04T15:00:00+01:00"}},"location":{{"id":12,"name":"The Old Barn"}}}}"#
    )
}

/// Leads of about one size. What makes them long is written beforehand, so that senders take little of the cores.
pub(crate) struct Leads(Vec<String>);

impl Leads {
    /// Of about so many bytes each: at least those of a short one.
    pub(crate) fn of(bytes: usize) -> Self {
        let short = lead(&ulid::Ulid::generate().to_string()).len();
        // A few bytes more or less than a short one are none.
        let more = bytes.saturating_sub(short);
        let count = if more < short { 0 } else { MESSAGES };
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        Self((0..count).map(|_| message(&mut random, more)).collect())
    }

    pub(crate) fn next(&self, uuid: &str) -> String {
        let lead = lead(uuid);
        if self.0.is_empty() {
            return lead;
        }
        let message = &self.0[MADE.load(Ordering::Relaxed) % self.0.len()];
        lead.replacen(r#""name":"#, &format!(r#""message":"{message}","name":"#), 1)
    }
}

/// Words of letters by chance: a compression that looks for what repeats, as PostgreSQL's do, finds next to nothing.
fn message(random: &mut Random, bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 16);
    while text.len() < bytes {
        let (letters, length) = (random.next(), 2 + random.next() % 7);
        text.extend((0..length).map(|at| char::from(b'a' + (letters >> (8 * at) & 0xff) as u8 % 26)));
        text.push(' ');
    }
    text
}

/// Xorshift: the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
