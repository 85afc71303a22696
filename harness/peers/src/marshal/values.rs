//! Values from a seed. No float, no key and no large number comes twice: Ruby has one object for
//! each of those, so it would write a link where mapvar writes the value again.

use mapvar::Value;
use mapvar_harness::Random;

pub struct Maker {
    random: Random,
    count: u64,
    special: bool,
}

impl Maker {
    pub fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), count: 0, special: false }
    }

    fn text(&mut self) -> String {
        self.count += 1;
        let count = self.count;
        let tail = ["", "é", "日本", "\0", "🦀"][self.random.below(5) as usize];
        let padding =
            "x".repeat(self.random.below(200) as usize * usize::from(count.is_multiple_of(5)));
        format!("k{count}{tail}{padding}")
    }

    fn float(&mut self) -> f64 {
        if !self.special {
            self.special = true;
            return [
                f64::INFINITY,
                f64::NEG_INFINITY,
                f64::NAN,
                0.0,
                -0.0,
                f64::MIN_POSITIVE,
                5e-324,
                f64::MAX,
            ][self.random.below(8) as usize];
        }
        match self.random.below(3) {
            0 => f64::from(self.random.below(1 << 40) as u32) / 1000.0,
            1 => f64::from(self.random.word() as u32) * 1e15,
            _ => {
                let any = f64::from_bits(self.random.word());
                if any.is_finite() { any } else { 0.5 }
            }
        }
    }

    pub fn value(&mut self, depth: u32) -> Value {
        match self.random.below(if depth == 0 { 9 } else { 13 }) {
            0 => Value::Nil,
            1 => Value::Bool(self.random.below(2) == 1),
            2 => Value::I64(self.random.below(700) as i64 - 350),
            3 => Value::I64(i64::from(self.random.word() as i32)),
            4 => Value::I64(self.random.word() as i64),
            5 => Value::U64(self.random.word() | 1 << 63),
            6 => Value::F64(self.float()),
            7 => Value::Str(self.text()),
            8 => {
                Value::Bytes((0..self.random.below(40)).map(|_| self.random.word() as u8).collect())
            }
            9 | 10 => {
                let count = self.random.below(8);
                Value::List((0..count).map(|_| self.value(depth - 1)).collect())
            }
            _ => {
                let count = self.random.below(6);
                let mut pairs = Vec::new();
                for _ in 0..count {
                    let key = Value::Str(self.text());
                    pairs.push((key, self.value(depth - 1)));
                }
                Value::Dict(pairs)
            }
        }
    }
}
