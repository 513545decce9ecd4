//! The addresses that the authors give, over HTTPS.

use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use tempfile::NamedTempFile;
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

use super::remote::{Address, Layout, Package};
use super::{FetchProgress, RemoteFile, RemoteSet, Source, chain};
use crate::fetch::store::{TEMPORARY, store};
use crate::fetch::unpack::{unpack_tgz, unpack_zip};

/// An address that does not answer by then is given up: closed networks drop packets instead of refusing them.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// Longest silence of a server that has answered.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// No archive is larger.
const MAX_ARCHIVE: u64 = 1 << 30;

/// Fetches `files` from the first address that serves all of them.
pub(super) fn fetch(
    set: &RemoteSet,
    files: &[&RemoteFile],
    folder: &Path,
    progress: &mut dyn FnMut(FetchProgress<'_>),
) -> Result<(), String> {
    fetch_with(&agent(CONNECT_TIMEOUT, READ_TIMEOUT), set, files, folder, progress)
}

fn fetch_with(
    agent: &Agent,
    set: &RemoteSet,
    files: &[&RemoteFile],
    folder: &Path,
    progress: &mut dyn FnMut(FetchProgress<'_>),
) -> Result<(), String> {
    let mut reasons = Vec::new();
    for address in set.official {
        progress(FetchProgress::Trying { source: Source::Official, what: address.url() });
        let outcome = match address {
            Address::Folder(url) => files.iter().try_for_each(|file| fetch_file(agent, url, file, folder, progress)),
            Address::TarGz { url, prefix } | Address::Zip { url, prefix } => {
                fetch_archive(agent, url, folder, progress).and_then(|archive| {
                    let package = Package { name: url, layout: Layout::Members { prefix, suffix: "" } };
                    let unpack = if matches!(address, Address::Zip { .. }) { unpack_zip } else { unpack_tgz };
                    unpack(archive.path(), &package, files, folder, progress)
                })
            }
        };
        match outcome {
            Ok(()) => return Ok(()),
            Err(reason) => reasons.push(reason),
        }
    }
    Err(reasons.join("; "))
}

fn agent(connect: Duration, read: Duration) -> Agent {
    Agent::config_builder()
        .timeout_resolve(Some(connect))
        .timeout_connect(Some(connect))
        .timeout_recv_response(Some(read))
        .timeout_per_read(Some(read))
        .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
        .user_agent(concat!("aelab/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}

/// Downloads an archive into a temporary file beside the cache.
fn fetch_archive(
    agent: &Agent,
    url: &'static str,
    folder: &Path,
    progress: &mut dyn FnMut(FetchProgress<'_>),
) -> Result<NamedTempFile, String> {
    let failed = |error: &dyn std::error::Error| format!("{url}: {}", chain(error));
    let mut response = agent.get(url).call().map_err(|error| failed(&error))?;
    let total = response.body().content_length().unwrap_or(0);
    let mut body = response.body_mut().with_config().limit(MAX_ARCHIVE).reader();
    let mut archive = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(folder).map_err(|error| failed(&error))?;
    let mut buffer = vec![0; 1 << 20];
    let mut received = 0;
    loop {
        match body.read(&mut buffer) {
            Ok(0) => return Ok(archive),
            Ok(read) => {
                archive.write_all(&buffer[..read]).map_err(|error| failed(&error))?;
                received += read as u64;
                progress(FetchProgress::Receiving { file: url.rsplit('/').next().unwrap_or(url), received, total: total.max(received) });
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(&error)),
        }
    }
}

/// A transfer that breaks is tried once more; an address that cannot be reached is not.
fn fetch_file(
    agent: &Agent,
    address: &str,
    file: &RemoteFile,
    folder: &Path,
    progress: &mut dyn FnMut(FetchProgress<'_>),
) -> Result<(), String> {
    let url = format!("{address}{}.gz", file.name);
    let mut attempt = || {
        let mut response = agent.get(&url).call().map_err(|error| (is_transient(&error), format!("{url}: {}", chain(&error))))?;
        let body = response.body_mut().with_config().limit(2 * file.num_bytes).reader();
        store(body, file, folder, progress).map_err(|reason| (true, format!("{url}: {reason}")))
    };
    match attempt() {
        Err((true, _)) => attempt().map_err(|(_, reason)| reason),
        outcome => outcome.map_err(|(_, reason)| reason),
    }
}

fn is_transient(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::StatusCode(status) => *status >= 500 || *status == 429,
        ureq::Error::Io(error) => {
            matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;
    use crate::fetch::store::tests::{HELLO, HELLO_FILE};

    /// Serves the given answers, one connection each, and returns its address.
    fn serve(answers: Vec<Vec<u8>>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/", listener.local_addr().unwrap());
        thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 2048];
                let _ = stream.read(&mut request);
                let _ = stream.write_all(&answer);
            }
        });
        address
    }

    fn answer(status: &str, length: usize, body: &[u8]) -> Vec<u8> {
        [format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n").as_bytes(), body].concat()
    }

    /// Whatever proxy the environment names, these addresses are on this machine.
    fn direct() -> Agent {
        Agent::config_builder().proxy(None).build().into()
    }

    fn fetch_from(address: &str) -> Result<Vec<u8>, String> {
        let folder = tempfile::tempdir().unwrap();
        fetch_file(&direct(), address, &HELLO_FILE, folder.path(), &mut |_| {})?;
        Ok(std::fs::read(folder.path().join("hello")).unwrap())
    }

    #[test]
    fn a_transfer_that_breaks_is_tried_once_more() {
        let broken = answer("200 OK", HELLO.len(), &HELLO[..7]);
        let whole = answer("200 OK", HELLO.len(), HELLO);
        assert_eq!(fetch_from(&serve(vec![broken.clone(), whole])).unwrap(), HELLO);
        assert!(fetch_from(&serve(vec![broken.clone(), broken])).unwrap_err().contains("/hello.gz: hello: "));
    }

    #[test]
    fn a_refusal_of_the_server_is_not_tried_again_but_an_overload_is() {
        let whole = answer("200 OK", HELLO.len(), HELLO);
        let error = fetch_from(&serve(vec![answer("404 Not Found", 0, b""), whole.clone()])).unwrap_err();
        assert!(error.ends_with("/hello.gz: http status: 404"), "{error}");
        assert_eq!(fetch_from(&serve(vec![answer("503 Busy", 0, b""), whole])).unwrap(), HELLO);
    }

    #[test]
    fn an_address_that_accepts_and_stays_silent_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let limit = Duration::from_millis(200);
        let folder = tempfile::tempdir().unwrap();
        for scheme in ["https", "http"] {
            let start = std::time::Instant::now();
            let address = format!("{scheme}://127.0.0.1:{port}/");
            let error = fetch_file(&agent(limit, limit), &address, &HELLO_FILE, folder.path(), &mut |_| {}).unwrap_err();
            assert!(error.contains("timeout"), "{error}");
            assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        }
    }

    #[test]
    fn an_address_that_refuses_is_passed_over_for_the_next() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap();
        let unreachable = format!("http://{}/", closed.local_addr().unwrap());
        drop(closed);
        let serving = serve(vec![answer("200 OK", HELLO.len(), HELLO)]);
        let addresses: &'static [Address] = vec![Address::Folder(unreachable.clone().leak()), Address::Folder(serving.leak())].leak();
        let set = RemoteSet { official: addresses, ..crate::fetch::MNIST.clone() };
        let folder = tempfile::tempdir().unwrap();
        let mut tried = Vec::new();
        fetch_with(&direct(), &set, &[&HELLO_FILE], folder.path(), &mut |event| {
            if let FetchProgress::Trying { what, .. } = event {
                tried.push(what.to_owned());
            }
        })
        .unwrap();
        assert_eq!(tried, addresses.iter().map(Address::url).collect::<Vec<_>>());
        assert_eq!(std::fs::read(folder.path().join("hello")).unwrap(), HELLO);
        let only = RemoteSet { official: &addresses[..1], ..set };
        let error = fetch_with(&direct(), &only, &[&HELLO_FILE], folder.path(), &mut |_| {}).unwrap_err();
        assert!(error.starts_with(&format!("{unreachable}hello.gz: ")), "{error}");
    }
    #[test]
    fn files_are_read_out_of_an_archive_at_one_address() {
        let archive = crate::formats::zip::write(&[("set/other", b"x"), ("set/hello", HELLO)], true);
        let url: &'static str = serve(vec![answer("200 OK", archive.len(), &archive), answer("200 OK", 3, b"odd")]).leak();
        let addresses: &'static [Address] = vec![Address::Zip { url, prefix: "set/" }].leak();
        let set = RemoteSet { official: addresses, ..crate::fetch::MNIST.clone() };
        let folder = tempfile::tempdir().unwrap();
        fetch_with(&direct(), &set, &[&HELLO_FILE], folder.path(), &mut |_| {}).unwrap();
        assert_eq!(std::fs::read(folder.path().join("hello")).unwrap(), HELLO);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "the archive is not kept");
        let error = fetch_with(&direct(), &set, &[&HELLO_FILE], folder.path(), &mut |_| {}).unwrap_err();
        assert!(error.contains("is not a ZIP archive"), "{error}");
    }
}
