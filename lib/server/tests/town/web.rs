//! A web server that serves lists, runs a responder, and misbehaves on demand.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

/// What is to be had at a path.
#[derive(Clone)]
pub enum Page {
    /// These bytes, said to be a page of text.
    Bytes(Vec<u8>),
    /// The same, with a validator.
    Tagged(Vec<u8>, &'static str),
    /// The same, with the time of its last change in place of one.
    Dated(Vec<u8>, &'static str),
    /// Somewhere else.
    Moved(String),
    /// Nothing but this status.
    Status(u16),
    /// A body without end.
    Endless,
    /// A byte, and then silence until the peer goes.
    Slow,
    /// `openssl ocsp` in this folder, with these arguments.
    Ocsp(PathBuf, String),
}

pub struct Web {
    address: SocketAddr,
    pages: Arc<Mutex<HashMap<String, Page>>>,
    hits: Arc<Mutex<Vec<String>>>,
}

impl Web {
    pub fn start() -> Web {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let web = Web {
            address: listener.local_addr().unwrap(),
            pages: Arc::default(),
            hits: Arc::default(),
        };
        let (pages, hits) = (web.pages.clone(), web.hits.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (pages, hits) = (pages.clone(), hits.clone());
                // A peer that goes away early is part of the game.
                thread::spawn(move || drop(serve(stream, &pages, &hits)));
            }
        });
        web
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn put(&self, path: &str, page: Page) {
        self.pages.lock().unwrap().insert(path.to_owned(), page);
    }

    /// Returns the paths asked for since the last call.
    pub fn hits(&self) -> Vec<String> {
        std::mem::take(&mut self.hits.lock().unwrap())
    }
}

fn serve(
    mut stream: TcpStream,
    pages: &Mutex<HashMap<String, Page>>,
    hits: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        lines.push(line.trim_end().to_owned());
    }
    let path = lines[0].split(' ').nth(1).unwrap_or("/").to_owned();
    let header = |name: &str| {
        let mut all = lines.iter().filter_map(|l| l.split_once(": "));
        all.find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.to_owned())
    };
    let length = header("content-length").map_or(0, |l| l.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let page = pages.lock().unwrap().get(&path).cloned();
    hits.lock().unwrap().push(path);
    match page.unwrap_or(Page::Status(404)) {
        Page::Bytes(bytes) => whole(&mut stream, "200 OK", "", &bytes),
        Page::Tagged(_, tag) if header("if-none-match").as_deref() == Some(tag) => {
            whole(&mut stream, "304 Not Modified", "", b"")
        }
        Page::Tagged(bytes, tag) => {
            whole(&mut stream, "200 OK", &format!("ETag: {tag}\r\n"), &bytes)
        }
        Page::Dated(_, date) if header("if-modified-since").as_deref() == Some(date) => {
            whole(&mut stream, "304 Not Modified", "", b"")
        }
        Page::Dated(bytes, date) => {
            let dated = format!("Last-Modified: {date}\r\n");
            whole(&mut stream, "200 OK", &dated, &bytes)
        }
        Page::Moved(to) => whole(
            &mut stream,
            "302 Found",
            &format!("Location: {to}\r\n"),
            b"",
        ),
        Page::Status(status) => whole(&mut stream, &format!("{status} No"), "", b""),
        Page::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
            loop {
                stream.write_all(&[0x30; 4096])?;
            }
        }
        Page::Slow => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n0")?;
            // Until the peer has had enough.
            reader.read_to_end(&mut Vec::new()).map(drop)
        }
        Page::Ocsp(folder, arguments) => {
            let answer = respond(&folder, &arguments, &body);
            whole(&mut stream, "200 OK", "", &answer)
        }
    }
}

fn whole(stream: &mut TcpStream, status: &str, more: &str, body: &[u8]) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nConnection: close\r\n{more}Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)
}

fn respond(folder: &PathBuf, arguments: &str, question: &[u8]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let (asked, answer) = (dir.path().join("asked"), dir.path().join("answer"));
    std::fs::write(&asked, question).unwrap();
    let out = Command::new("openssl")
        .arg("ocsp")
        .args(arguments.split(' '))
        .arg("-reqin")
        .arg(asked)
        .arg("-respout")
        .arg(&answer)
        .current_dir(folder)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{error}");
    std::fs::read(answer).unwrap()
}
