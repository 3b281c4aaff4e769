//! What a statement asks for: from its tokens to a [`Command`]. Pure.

use std::net::SocketAddr;

use super::errors::SqlRefusal;
use super::lexer::{Lexeme, Token, lex};
use super::rules::StopKind;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    Select(Vec<Lexeme>),
    Show(Vec<Lexeme>),
    StopServers {
        operation: StopKind,
        addresses: Vec<String>,
        zone: Option<String>,
    },
    StartServers {
        addresses: Vec<String>,
        zone: Option<String>,
    },
    Zone {
        active: bool,
        force: bool,
        name: String,
    },
    /// No address: all servers.
    MinorFreeze {
        addresses: Vec<String>,
    },
    SetParameters(Vec<(String, String)>),
    SetVariables(Vec<(String, String)>),
    Kill {
        query: bool,
        session: u64,
    },
    Use(String),
    SimFault(String),
    SimClear(Option<u64>),
    SimFaults,
    SimRecord,
    Begin,
    /// COMMIT, ROLLBACK.
    EndTransaction,
    /// INSERT and its like: there are no tables, but the transaction has written.
    Write,
}

pub fn parse(sql: &str) -> Result<Command, SqlRefusal> {
    let lexemes = lex(sql).ok_or_else(|| SqlRefusal::syntax(sql))?;
    let mut cursor = Cursor { lexemes: &lexemes, at: 0 };
    let Some(first) = lexemes.first() else { return Err(SqlRefusal::new(4002, "Query was empty")) };
    let Token::Word(word) = &first.token else { return Ok(Command::Select(lexemes)) };
    let word = word.to_lowercase();
    cursor.at = 1;
    let command = match word.as_str() {
        "select" | "with" | "values" => return Ok(Command::Select(lexemes)),
        "show" | "desc" | "describe" | "explain" => return Ok(Command::Show(lexemes)),
        "alter" => cursor.alter(),
        "set" => Some(Command::SetVariables(cursor.assignments())),
        "kill" => cursor.kill(),
        "use" => cursor.name().map(Command::Use),
        "sim" => cursor.sim(),
        "begin" | "start" => return Ok(Command::Begin),
        "commit" | "rollback" => return Ok(Command::EndTransaction),
        "insert" | "update" | "delete" | "replace" => return Ok(Command::Write),
        _ => None,
    };
    match command {
        Some(command) if cursor.ended() => Ok(command),
        _ => {
            let rest: Vec<String> =
                lexemes.iter().skip(cursor.at).map(|lexeme| format!("{:?}", lexeme.token)).collect();
            Err(SqlRefusal::syntax(&rest.join(" ")))
        }
    }
}

/// Whether an address reads `ip:port` (`[ip]:port` for IPv6).
fn address(text: &str) -> bool {
    text.parse::<SocketAddr>().is_ok()
}

struct Cursor<'a> {
    lexemes: &'a [Lexeme],
    at: usize,
}

impl Cursor<'_> {
    fn ended(&self) -> bool {
        self.at >= self.lexemes.len()
    }

    /// Steps over a word or symbol if it stands here.
    fn skip(&mut self, word: &str) -> bool {
        let here = self.lexemes.get(self.at).is_some_and(|lexeme| lexeme.is(word));
        self.at += usize::from(here);
        here
    }

    fn want(&mut self, word: &str) -> Option<()> {
        self.skip(word).then_some(())
    }

    fn text(&mut self) -> Option<String> {
        let Some(Lexeme { token: Token::Text(text), .. }) = self.lexemes.get(self.at) else { return None };
        self.at += 1;
        Some(text.clone())
    }

    /// A string, an identifier, a number or a variable.
    fn name(&mut self) -> Option<String> {
        let (Token::Text(text) | Token::Word(text) | Token::Quoted(text) | Token::Number(text) | Token::Variable(text)) =
            &self.lexemes.get(self.at)?.token
        else {
            return None;
        };
        self.at += 1;
        Some(text.clone())
    }

    fn addresses(&mut self) -> Option<Vec<String>> {
        let mut addresses = vec![self.text()?];
        while self.skip(",") {
            addresses.push(self.text()?);
        }
        addresses.iter().all(|text| address(text)).then_some(addresses)
    }

    fn alter(&mut self) -> Option<Command> {
        self.want("system")?;
        if self.skip("set") {
            return Some(Command::SetParameters(self.assignments()));
        }
        if self.skip("minor") {
            self.want("freeze")?;
            return self.minor_freeze();
        }
        let force = self.skip("force");
        let operation = match (self.skip("stop"), force) {
            (true, false) => Some(StopKind::Stop),
            (true, true) => Some(StopKind::ForceStop),
            (false, false) if self.skip("isolate") => Some(StopKind::Isolate),
            (false, false) if self.skip("start") => None,
            _ => return None,
        };
        if self.skip("zone") {
            let name = self.name()?;
            return Some(Command::Zone { active: operation.is_none(), force, name });
        }
        self.want("server")?;
        let addresses = self.addresses()?;
        let zone = if self.skip("zone") {
            self.skip("=");
            Some(self.name()?)
        } else {
            None
        };
        Some(match operation {
            Some(operation) => Command::StopServers { operation, addresses, zone },
            None => Command::StartServers { addresses, zone },
        })
    }

    fn minor_freeze(&mut self) -> Option<Command> {
        let mut addresses = Vec::new();
        // TENANT lists are accepted and make no difference
        if self.skip("tenant") {
            self.skip("=");
            while !self.ended() && !self.lexemes[self.at].is("server") {
                self.at += 1;
            }
        }
        if self.skip("server") {
            self.skip("=");
            let listed = self.skip("(");
            addresses = self.addresses()?;
            if listed {
                self.want(")")?;
            }
        }
        Some(Command::MinorFreeze { addresses })
    }

    /// `[SESSION|GLOBAL] name = value, ...`; SET NAMES, SET CHARACTER SET and SET TRANSACTION are let pass.
    fn assignments(&mut self) -> Vec<(String, String)> {
        let mut assignments = Vec::new();
        loop {
            let _ = self.skip("session") || self.skip("global") || self.skip("local");
            let harmless = self.skip("names") || self.skip("character") || self.skip("transaction");
            if !harmless && let Some(name) = self.name() {
                let _ = self.skip("=") || self.skip(":=");
                let negative = if self.skip("-") { "-" } else { "" };
                if let Some(value) = self.name() {
                    assignments.push((name.to_lowercase(), format!("{negative}{value}")));
                }
            }
            // whatever else an assignment holds (expressions, SCOPE, SERVER, ...) has no part in the simulation
            let (mut depth, start) = (0_usize, self.at);
            while let Some(lexeme) = self.lexemes.get(self.at) {
                if lexeme.is("(") {
                    depth += 1;
                } else if lexeme.is(")") {
                    depth = depth.saturating_sub(1);
                } else if lexeme.is(",") && depth == 0 {
                    break;
                }
                self.at += 1;
            }
            if !self.skip(",") || start > self.lexemes.len() {
                return assignments;
            }
        }
    }

    fn kill(&mut self) -> Option<Command> {
        let query = self.skip("query");
        if !query {
            self.skip("connection");
        }
        Some(Command::Kill { query, session: self.name()?.parse().ok()? })
    }

    fn sim(&mut self) -> Option<Command> {
        if self.skip("fault") {
            return self.text().map(Command::SimFault);
        }
        if self.skip("clear") {
            let id = if self.ended() { None } else { Some(self.name()?.parse().ok()?) };
            return Some(Command::SimClear(id));
        }
        if self.skip("faults") {
            return Some(Command::SimFaults);
        }
        self.skip("record").then_some(Command::SimRecord)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alter_system_is_understood() {
        let address = || vec!["127.0.1.1:2882".to_owned()];
        let stop = |operation, zone: Option<&str>| Command::StopServers {
            operation,
            addresses: address(),
            zone: zone.map(Into::into),
        };
        for (sql, command) in [
            ("ALTER SYSTEM STOP SERVER '127.0.1.1:2882' ZONE 'zone1'", stop(StopKind::Stop, Some("zone1"))),
            ("alter system force stop server \"127.0.1.1:2882\" zone=zone1;", stop(StopKind::ForceStop, Some("zone1"))),
            ("alter system isolate server '127.0.1.1:2882'", stop(StopKind::Isolate, None)),
            ("alter system start server '127.0.1.1:2882'", Command::StartServers { addresses: address(), zone: None }),
            ("alter system stop zone z", Command::Zone { active: false, force: false, name: "z".into() }),
            ("alter system minor freeze", Command::MinorFreeze { addresses: vec![] }),
            ("alter system minor freeze server = ('127.0.1.1:2882')", Command::MinorFreeze { addresses: address() }),
            ("alter system set lease_time = '20s'", Command::SetParameters(vec![("lease_time".into(), "20s".into())])),
            (
                "SET SESSION ob_query_timeout = 1000000, @@autocommit=1, sql_mode=(SELECT CONCAT(@@sql_mode, ','))",
                Command::SetVariables(vec![
                    ("ob_query_timeout".into(), "1000000".into()),
                    ("autocommit".into(), "1".into()),
                ]),
            ),
            ("SET NAMES utf8mb4", Command::SetVariables(vec![])),
            ("KILL QUERY 7", Command::Kill { query: true, session: 7 }),
            ("KILL 7", Command::Kill { query: false, session: 7 }),
            ("SIM CLEAR", Command::SimClear(None)),
            ("use `oceanbase`", Command::Use("oceanbase".into())),
        ] {
            assert_eq!(parse(sql), Ok(command), "{sql}");
        }
    }

    #[test]
    fn nonsense_is_a_syntax_error() {
        for sql in [
            "alter system stop server 127.0.1.1",
            "alter system stop server '127.0.1.1'",
            "alter system stop server '127.0.1.1:2882' garbage",
            "alter system force start server '127.0.1.1:2882'",
            "drop table t",
            "select 'a",
        ] {
            assert_eq!(parse(sql).unwrap_err().number, 5001, "{sql}");
        }
    }
}
