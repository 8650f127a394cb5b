// SPDX-License-Identifier: Apache-2.0

//! Each file of `docs/examples` on a grid of three nodes. nginx and PostgreSQL are Debian's; for other programs stands
//! a script that needs what they need.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{collections::BTreeSet, fs, path::Path, process::Command, time::Duration};
use tfgrid_tests::{Forwarded, Steps, TestImage, ThreeNodes, on_a_run, repository, wait_for};

const LIMIT: Duration = Duration::from_secs(60);
const DOMAIN: &str = "gw1.example.org";
/// An address of the farm's, in the network of node 3.
const PUBLIC: &str = "185.69.163.20";

const NGINX: &str = "\
daemon off;
user root;
pid /run/nginx.pid;
error_log stderr;
events {}
http { access_log off; server { listen 80; root /usr/share/nginx/html; } }
";
const POSTGRESQL: &str = r#"#!/bin/sh
set -e
mkdir -p "$PGDATA" /run/postgresql /var/run/postgresql
chown -R postgres "$PGDATA" /run/postgresql /var/run/postgresql
chmod 700 "$PGDATA"
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    echo "$POSTGRES_PASSWORD" >/run/password
    chown postgres /run/password
    su postgres -c 'initdb --auth=scram-sha-256 --pwfile=/run/password --no-locale >/dev/null'
    rm /run/password
fi
exec su postgres -c "exec postgres -c listen_addresses='*'"
"#;
const USERS: &str = "root:x:0:0::/:/bin/sh\npostgres:x:102:102::/:/bin/sh\n";
const GROUPS: &str = "root:x:0:\npostgres:x:102:\n";
/// Answers on its port with the name of its database.
const MARIADB: &str = r#"#!/bin/sh
set -e
: "${MARIADB_PASSWORD:?}"
echo "the database $MARIADB_DATABASE" >/var/lib/mysql/index.html
exec httpd -f -p 3306 -h /var/lib/mysql
"#;
/// Serves what its database says.
const WORDPRESS: &str = r#"#!/bin/sh
: "${WORDPRESS_DB_PASSWORD:?}"
until timeout 5 wget -q -O /var/www/html/index.html "http://$WORDPRESS_DB_HOST:3306/"; do sleep 1; done
exec httpd -f -p 80 -h /var/www/html
"#;
const VALIDATOR: &str = "#!/bin/sh\necho \"$@\" >/data/arguments\nexec sleep infinity\n";

/// The images that the examples name, without their registry.
fn images(programs: &Path) -> [TestImage<'_>; 7] {
    const PLAIN: TestImage = TestImage { name: "", files: None, scripts: &[], changes: &[] };
    const NGINX_SCRIPTS: &[(&str, &str)] = &[
        ("etc/nginx/alone.conf", NGINX),
        ("etc/passwd", USERS),
        ("etc/group", GROUPS),
        ("usr/share/nginx/html/index.html", "a page of nginx\n"),
        ("run/here", ""),
    ];
    const NGINX_CHANGES: &[&str] = &[r#"CMD ["/usr/sbin/nginx", "-c", "/etc/nginx/alone.conf"]"#];
    let nginx =
        |name| TestImage { name, files: Some(programs), scripts: NGINX_SCRIPTS, changes: NGINX_CHANGES };
    [
        TestImage { name: "library/busybox:1.36", ..PLAIN },
        nginx("library/nginx:1.27"),
        nginx("library/nginx:1.27-alpine"),
        TestImage {
            name: "library/postgres:17-alpine",
            files: Some(programs),
            scripts: &[
                ("bin/start-postgres", POSTGRESQL),
                ("etc/passwd", USERS),
                ("etc/group", GROUPS),
                ("run/here", ""),
            ],
            changes: &["ENV PATH=/usr/lib/postgresql/15/bin:/usr/bin:/bin", r#"CMD ["/bin/start-postgres"]"#],
        },
        TestImage {
            name: "library/mariadb:11.4",
            scripts: &[("bin/start-mariadb", MARIADB)],
            changes: &[r#"CMD ["/bin/start-mariadb"]"#],
            ..PLAIN
        },
        TestImage {
            name: "library/wordpress:6-apache",
            scripts: &[("bin/start-wordpress", WORDPRESS)],
            changes: &[r#"CMD ["/bin/start-wordpress"]"#],
            ..PLAIN
        },
        TestImage {
            name: "parity/polkadot:stable2503",
            scripts: &[("bin/polkadot", VALIDATOR)],
            changes: &[r#"ENTRYPOINT ["/bin/polkadot"]"#],
            ..PLAIN
        },
    ]
}

/// Where an example is deployed.
enum Place {
    /// As its parts say.
    Own,
    Anywhere,
    /// On the node with public addresses.
    Gateway,
}

/// An example, and how it shows that it runs.
struct Example {
    file: &'static str,
    place: Place,
    runs: fn(&Examples<'_>, &Value) -> Result<()>,
}

const EXAMPLES: [Example; 10] = [
    Example {
        file: "site.json",
        place: Place::Anywhere,
        runs: |grid, site| grid.serves(site, "web:80", "hello"),
    },
    Example {
        file: "site.yaml",
        place: Place::Anywhere,
        runs: |grid, site| grid.serves(site, "web:80", "hello"),
    },
    Example { file: "job.yaml", place: Place::Anywhere, runs: |grid, job| grid.ends_job(job) },
    Example { file: "web-server.yaml", place: Place::Anywhere, runs: |grid, web| grid.serves_pages(web) },
    Example { file: "postgresql.yaml", place: Place::Anywhere, runs: |grid, db| grid.asks_database(db) },
    Example {
        file: "validator.yaml",
        place: Place::Anywhere,
        runs: |grid, node| grid.starts_validator(node),
    },
    Example { file: "private-network.yaml", place: Place::Own, runs: |grid, pair| grid.joins_machines(pair) },
    Example {
        file: "wordpress.yaml",
        place: Place::Own,
        runs: |grid, site| grid.serves(part_of(site, "web")?, "wordpress:80", "the database wordpress"),
    },
    Example {
        file: "public.yaml",
        place: Place::Gateway,
        runs: |grid, _| grid.until_page(&format!("http://{PUBLIC}/"), "a page of nginx"),
    },
    Example {
        file: "shop.yaml",
        place: Place::Gateway,
        runs: |grid, _| grid.until_page(&format!("https://shop.{DOMAIN}/"), "hello"),
    },
];
/// It can't run here.
const GPU_JOB: &str = "gpu-job.yaml";

#[test]
fn every_example_is_deployed() -> Result<()> {
    let programs = Command::new(repository().join("scripts/setup-programs.sh")).output()?;
    ensure!(programs.status.success(), "{}", String::from_utf8_lossy(&programs.stderr));
    let programs = String::from_utf8(programs.stdout)?;
    on_a_run("examples", |run| {
        let steps = Steps::silent();
        let grid = ThreeNodes::start_with(&run, &steps, &images(Path::new(programs.trim())))?;
        Examples { grid }.run()
    })
}

struct Examples<'a> {
    grid: ThreeNodes<'a>,
}

impl Examples<'_> {
    fn run(&self) -> Result<()> {
        let known = EXAMPLES.iter().map(|example| example.file).chain([GPU_JOB]);
        ensure!(files()? == known.map(Into::into).collect::<BTreeSet<String>>(), "an example isn't tried");
        self.gpu_job_is_refused()?;
        self.grid.makes_a_gateway(DOMAIN)?;
        let gateway = self.grid.nodes[2].id.to_string();
        let at_gateway = ["--node", &gateway];
        let (address, router) = (format!("{PUBLIC}/24"), self.grid.world.hosts[2].router.to_string());
        let offer = ["farm", "add-ip", "1", "--ipv4", &address, "--gateway", &router];
        self.grid.asks(&self.grid.farmer, &offer)?;
        self.user(&["name", "reserve", "shop"])?;
        for Example { file, place, runs } in EXAMPLES {
            let place: &[&str] = match place {
                Place::Own => &[],
                Place::Anywhere => &["--auto"],
                Place::Gateway => &at_gateway,
            };
            let path = self.file(file)?;
            let deployed = self.user(&[&["deploy", "-f", &path][..], place].concat());
            let seen = deployed.and_then(|deployed| {
                runs(self, &deployed)?;
                self.user(&["cancel", &name_of(&deployed)?])
            });
            seen.with_context(|| format!("docs/examples/{file}"))?;
        }
        self.user(&["cancel", "--all"]).map(drop)
    }

    fn user(&self, arguments: &[&str]) -> Result<Value> {
        self.grid.asks(&self.grid.user, arguments)
    }

    /// The example with images of this grid's registry, and sizes that its nodes have.
    fn file(&self, name: &str) -> Result<String> {
        let text = fs::read_to_string(repository().join("docs/examples").join(name))?;
        let text = text
            .replace("docker.io/", &format!("{}/", self.grid.registry.address()))
            .replace("size: 536870912000", "size: 1073741824")
            .replace("memory: 17179869184", "memory: 1073741824");
        let path = self.grid.run.folder().join(name);
        fs::write(&path, text)?;
        Ok(path.display().to_string())
    }

    fn gpu_job_is_refused(&self) -> Result<()> {
        let path = self.file(GPU_JOB)?;
        let reasons = [
            (&["--auto"][..], "with too few free GPUs"),
            (&["--node", "1"][..], "GPUs: 1 asked for, 0 free"),
        ];
        for (place, reason) in reasons {
            let refused = self.user(&[&["plan", "-f", &path][..], place].concat()).err();
            let error = format!("{:#}", refused.context("a job found a GPU that no node has")?);
            ensure!(error.contains(reason), "{place:?}: {error}");
        }
        Ok(())
    }

    /// Waits for a page at a port of a machine.
    fn serves(&self, deployed: &Value, port: &str, words: &str) -> Result<()> {
        let contract = deployed["contract"].to_string();
        let port = format!("0:{port}");
        self.until_says(&port, words, || Forwarded::open(&self.grid.user, &contract, &port)?.page())
    }

    fn serves_pages(&self, deployed: &Value) -> Result<()> {
        let script = "echo mine >/usr/share/nginx/html/index.html";
        self.inside(&deployed["contract"], "web", &["sh", "-c", script])?;
        self.serves(deployed, "web:80", "mine")
    }

    fn ends_job(&self, deployed: &Value) -> Result<()> {
        let contract = deployed["contract"].to_string();
        wait_for("the last prime below 1000", LIMIT, || {
            let output = self.printed(&["logs", &contract])?;
            Ok(output.lines().any(|line| line.trim() == "997").then_some(()))
        })
    }

    fn asks_database(&self, deployed: &Value) -> Result<()> {
        let script = r#"PGPASSWORD="$POSTGRES_PASSWORD" psql -h 127.0.0.1 -U postgres -qAtc 'select 6 * 7'"#;
        let answer = self.inside(&deployed["contract"], "db", &["sh", "-c", script])?;
        ensure!(answer.trim() == "42", "PostgreSQL answers {answer:?}");
        Ok(())
    }

    fn starts_validator(&self, deployed: &Value) -> Result<()> {
        let said = wait_for("the validator's arguments", LIMIT, || {
            Ok(self.inside(&deployed["contract"], "validator", &["cat", "/data/arguments"]).ok())
        })?;
        ensure!(said.starts_with("--validator --base-path /data --chain polkadot"), "{said}");
        Ok(())
    }

    fn joins_machines(&self, deployed: &Value) -> Result<()> {
        for (part, other) in [("one", "two"), ("two", "one")] {
            let contract = &part_of(deployed, part)?["contract"];
            let name = format!("{other}.backend.internal");
            wait_for(&name, LIMIT, || Ok(self.inside(contract, part, &["nslookup", "-type=a", &name]).ok()))?;
        }
        Ok(())
    }

    fn until_page(&self, url: &str, words: &str) -> Result<()> {
        self.until_says(url, words, || self.grid.authority.page(url))
    }

    /// Waits until what is asked on the laptop has these words.
    fn until_says(
        &self,
        what: &str,
        words: &str,
        ask: impl Fn() -> Result<String> + Send + Sync,
    ) -> Result<()> {
        let mut last = String::new();
        let said = self.grid.on_laptop(|| {
            wait_for(what, LIMIT, || {
                let answer = ask();
                last = format!("{answer:?}");
                Ok(answer.is_ok_and(|answer| answer.contains(words)).then_some(()))
            })
        });
        said.with_context(|| format!("the last answer: {last}"))
    }

    /// What a program in a machine prints.
    fn inside(&self, contract: &Value, machine: &str, command: &[&str]) -> Result<String> {
        self.printed(&[&["exec", &contract.to_string(), machine, "--"][..], command].concat())
    }

    /// What `threebot` prints for people.
    fn printed(&self, arguments: &[&str]) -> Result<String> {
        let output = self.grid.on_laptop(|| Ok(self.grid.user.command()?.args(arguments).output()?))?;
        ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// The names of all examples.
fn files() -> Result<BTreeSet<String>> {
    let entries = fs::read_dir(repository().join("docs/examples"))?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// The name of an application, or the contract's id.
fn name_of(deployed: &Value) -> Result<String> {
    match deployed["application"].as_str() {
        Some(name) => Ok(name.into()),
        None => Ok(deployed["contract"]
            .as_u64()
            .context("there is neither application nor contract")?
            .to_string()),
    }
}

fn part_of<'a>(deployed: &'a Value, name: &str) -> Result<&'a Value> {
    let parts = deployed["parts"].as_array().context("it has no parts")?;
    parts.iter().find(|part| part["part"] == name).with_context(|| format!("it has no part {name}"))
}
