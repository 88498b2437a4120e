import { describe, expect, test } from "bun:test";
import { ConfigError, parseConfig, type Config, type ConfigSource } from "../../lib/config/config.ts";
import { FactoryError } from "../../lib/words/failure.ts";

const source: ConfigSource = {
  text: "",
  path: "config.toml",
  env: {},
  home: "/home/lab",
  user: "lab",
  platform: "linux",
  workingDirectory: "/run/factory",
  readTokenFile: (path) => {
    throw new Error(`no file at ${path} in this test`);
  },
};

const read = (text: string, over: Partial<ConfigSource> = {}): Config =>
  parseConfig({ ...source, text, ...over });

function failureOf(text: string, over: Partial<ConfigSource> = {}): FactoryError {
  try {
    read(text, over);
  } catch (error) {
    if (error instanceof FactoryError) return error;
    throw error;
  }
  throw new Error("the configuration was accepted");
}

/** A complete file. Its testbed `a` begins on line 6, and the given lines on line 9. */
const withTestbed = (lines: string): string => `[general]
baseurl = "http://localhost:8000"
[factory]
token = "abc123"
[target.t]
[testbed.a]
sp_type = "gimlet"
targets = ["t"]
${lines}
`;

const rustExample = `
[general]
baseurl = "http://localhost:8000"

[factory]
token = "your-factory-token-here"

[testbed.grapefruit-7f495641]
sp_type = "grapefruit"
targets = ["sp-grapefruit"]
sp_runner_path = "cargo run -p sp-runner --"
sp_runner_config = "~/Oxide/ci/config.toml"
baseline = "v16"
enabled = true

[testbed.gimlet-a1b2c3d4]
sp_type = "gimlet"
targets = ["sp-gimlet", "sp-gimlet-attestation"]
enabled = false

[target.sp-grapefruit]
[target.sp-gimlet]
[target.sp-gimlet-attestation]
`;

describe("parseConfig()", () => {
  test("accepts the Rust factory's example unchanged", () => {
    const config = read(rustExample);
    expect(
      config.testbeds.map(({ name, spType, targets, enabled }) => ({ name, spType, targets, enabled })),
    ).toEqual([
      { name: "grapefruit-7f495641", spType: "grapefruit", targets: ["sp-grapefruit"], enabled: true },
      {
        name: "gimlet-a1b2c3d4",
        spType: "gimlet",
        targets: ["sp-gimlet", "sp-gimlet-attestation"],
        enabled: false,
      },
    ]);
    expect(config.testbeds[0]?.spRunnerPath).toBe("cargo run -p sp-runner --");
    expect(config.token.reveal()).toBe("your-factory-token-here");
    expect(config.targets).toEqual([
      { name: "sp-grapefruit", id: null },
      { name: "sp-gimlet", id: null },
      { name: "sp-gimlet-attestation", id: null },
    ]);
  });

  test("accepts a file for the Rust factory, with targets by ULID and every key that it has", () => {
    const config = read(`
[general]
baseurl = "http://buildomat.example.org:8000"
work_dir = "/var/tmp/buildomat"
use_privilege_elevation = false
[factory]
token = "abc123"
[testbed.bed]
sp_type = "gimlet"
targets = ["01M850P0K099E9F8GHWJ7VBZWM"]
host = "lab-3"
ssh_user = "build"
sp_runner_path = "sp-runner"
sp_runner_config = "~/Oxide/ci/config.toml"
baseline = "v16"
enabled = true
[testbed.bench]
sp_type = "psc"
targets = ["01M850P0K099E9F8GHWJ7VBZWM"]
sp_runner_url = "http://localhost:9090"
[target.01M850P0K099E9F8GHWJ7VBZWM]
`);
    expect(config.targets).toEqual([
      { name: "01M850P0K099E9F8GHWJ7VBZWM", id: "01M850P0K099E9F8GHWJ7VBZWM" },
    ]);
    expect(config.general).toMatchObject({
      elevate: false,
      elevateElsewhere: false,
      workDir: "/var/tmp/buildomat",
    });
    expect(config.testbeds.map(({ host, sshUser, spRunnerUrl }) => [host, sshUser, spRunnerUrl])).toEqual([
      ["lab-3", "build", null],
      [null, "lab", "http://localhost:9090"],
    ]);
  });

  test("fills in every default", () => {
    const { token, ...rest } = read(withTestbed(""));
    expect(token.reveal()).toBe("abc123");
    expect(rest).toEqual({
      path: "config.toml",
      tokenFile: null,
      general: {
        baseurl: "http://localhost:8000",
        workDir: null,
        elevate: false,
        elevateElsewhere: null,
        agent: null,
        pollIntervalMs: 1000,
        bindJob: true,
        isolate: "auto",
        keepDays: 14,
        keepBytes: 10_000_000_000,
        agentEnvironment: {},
        operators: null,
      },
      web: null,
      notify: { command: null, webhook: null, secret: null, reservedOverMs: 28_800_000 },
      update: { mode: "notify", url: null, channel: "stable", window: null, pin: null },
      testbeds: [
        {
          name: "a",
          spType: "gimlet",
          targets: ["t"],
          host: null,
          sshUser: "lab",
          sshPort: null,
          sshKey: null,
          hostKey: null,
          agentPath: null,
          workDir: null,
          spRunnerUrl: null,
          testType: "update-rollback",
          disableWatchdog: false,
          spRunnerPath: "sp-runner",
          spRunnerConfig: "~/Oxide/ci/config.toml",
          baseline: "v16",
          enabled: true,
          startTimeoutMs: 300_000,
          jobTimeoutMs: null,
          silenceTimeoutMs: null,
          check: null,
          note: "",
        },
      ],
      targets: [{ name: "t", id: null }],
    });
  });

  test("reads every key", () => {
    const config = read(`
[general]
baseurl = "HTTPS://Buildomat.Example.org/api/"
work_dir = "~/instances/"
use_privilege_elevation = true
agent = "~/bin/buildomat-agent"
poll_interval = "500ms"
bind_job = false
isolate = "off"
operators = "lab"
keep = { days = 0.5, size = "2GiB" }
agent_environment = { HTTPS_PROXY = "http://lab:pass@proxy:3128", PATH = "/opt/bin:/bin", _9 = "" }
[factory]
token = " abc "
[testbed.a]
sp_type = "psc"
targets = ["01hgystryrbs0dg7j6e22zs3m5", "b", "b"]
host = "lab-3.example.org"
ssh_user = "ci"
ssh_port = 2222
ssh_key = "~/.ssh/lab"
host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGZ root@lab-3"
agent_path = "~/agent"
work_dir = "~/factory"
test_type = "smoke"
disable_watchdog = true
sp_runner_path = "/opt/sp-runner"
sp_runner_config = "/etc/sp.toml"
baseline = "v17"
enabled = false
start_timeout = "90s"
job_timeout = "2h"
silence_timeout = "1.5 m"
check = "ping -c 1 'psc'"
note = "left bench"
[testbed.b]
sp_type = "sidecar"
targets = ["b"]
sp_runner_url = "http://[::1]:9090/"
[target.01hgystryrbs0dg7j6e22zs3m5]
[target.b]
id = "01HGYSTRYRBS0DG7J6E22ZS3M6"
`);
    expect(config.general).toEqual({
      baseurl: "https://buildomat.example.org/api",
      workDir: "/home/lab/instances",
      elevate: true,
      elevateElsewhere: true,
      agent: "/home/lab/bin/buildomat-agent",
      pollIntervalMs: 500,
      bindJob: false,
      isolate: "off",
      keepDays: 0.5,
      keepBytes: 2_147_483_648,
      agentEnvironment: { HTTPS_PROXY: "http://lab:pass@proxy:3128", PATH: "/opt/bin:/bin", _9: "" },
      operators: "lab",
    });
    expect(config.testbeds[0]).toEqual({
      name: "a",
      spType: "psc",
      targets: ["01hgystryrbs0dg7j6e22zs3m5", "b"],
      host: "lab-3.example.org",
      sshUser: "ci",
      sshPort: 2222,
      sshKey: "/home/lab/.ssh/lab",
      hostKey: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGZ",
      agentPath: "~/agent",
      workDir: "~/factory",
      spRunnerUrl: null,
      testType: "smoke",
      disableWatchdog: true,
      spRunnerPath: "/opt/sp-runner",
      spRunnerConfig: "/etc/sp.toml",
      baseline: "v17",
      enabled: false,
      startTimeoutMs: 90_000,
      jobTimeoutMs: 7_200_000,
      silenceTimeoutMs: 90_000,
      check: "ping -c 1 'psc'",
      note: "left bench",
    });
    expect(config.testbeds[1]?.spRunnerUrl).toBe("http://[::1]:9090");
    expect(config.targets).toEqual([
      { name: "01hgystryrbs0dg7j6e22zs3m5", id: "01HGYSTRYRBS0DG7J6E22ZS3M5" },
      { name: "b", id: "01HGYSTRYRBS0DG7J6E22ZS3M6" },
    ]);
  });

  test("accepts the limits that its messages name", () => {
    const text = withTestbed(`start_timeout = "1000ms"\njob_timeout = "365d"\nssh_port = 65535\nnote = ""`);
    const [testbed] = read(text).testbeds;
    expect(testbed).toMatchObject({ startTimeoutMs: 1000, jobTimeoutMs: 365 * 86_400_000, sshPort: 65_535 });
    const token = "x".repeat(4096);
    expect(read(withTestbed("").replace("abc123", token)).token.reveal()).toBe(token);
    expect(failureOf(withTestbed("").replace("abc123", `${token}x`)).message).toContain("longer than 4096");
  });

  test("reads [update] with a server or a directory as mirror", () => {
    const update = (lines: string): Config["update"] => read(`${withTestbed("")}\n[update]\n${lines}`).update;
    expect(
      update(`mode = "auto"\nurl = "https://m.example/f/"\nwindow = "22:30-05:00"\npin = "1.2.0-rc1"`),
    ).toEqual({
      mode: "auto",
      url: "https://m.example/f",
      channel: "stable",
      window: { fromMinute: 1350, toMinute: 300 },
      pin: "1.2.0-rc1",
    });
    expect(update(`url = "/media/stick/"`).url).toBe("/media/stick");
    expect(update(`url = "file:///media/a stick"`).url).toBe("file:///media/a stick");
  });

  test.each([
    [`mode = "on"`, "is not a mode"],
    [`url = "ftp://x"`, "is not an http or https URL"],
    [`url = "https://u:p@x"`, "would appear in logs"],
    [`url = "https://u:p@x"`, "Serve releases without a password"],
    [`url = "stick"`, "is not an http or https URL"],
    [`window = "24:00-05:00"`, "is not a time window"],
    [`window = "05:00-05:00"`, "is not a time window"],
    [`pin = "latest"`, "is not a version"],
    [`channel = "a/b"`, "is not a channel"],
    [`token = "x"`, "unknown key"],
  ])("refuses [update] with %s", (line, wrong) => {
    expect(failureOf(`${withTestbed("")}\n[update]\n${line}`).message).toContain(wrong);
  });

  test("elevates by default only on illumos", () => {
    expect(read(withTestbed(""), { platform: "sunos" }).general.elevate).toBe(true);
    expect(read(withTestbed(""), { platform: "darwin" }).general.elevate).toBe(false);
  });

  test("takes agent and work directory from the environment if the file does not name them", () => {
    const env = { BUILDOMAT_AGENT_PATH: "bin/agent", BUILDOMAT_WORK_DIR: "/srv/work" };
    const { general } = read(withTestbed(""), { env });
    expect(general.agent).toBe("/run/factory/bin/agent");
    expect(general.workDir).toBe("/srv/work");
    const text = withTestbed("").replace("[factory]", `agent = "builtin"\nwork_dir = "/var/w"\n[factory]`);
    expect(read(text, { env }).general).toMatchObject({ agent: "builtin", workDir: "/var/w" });
  });

  test("reads the token from a file or from systemd, and trims it", () => {
    const text = withTestbed("").replace(`token = "abc123"`, `token_file = "~/token"`);
    const config = read(text, {
      readTokenFile: (path) => (path === "/home/lab/token" ? "  filetoken\n" : ""),
    });
    expect(config.token.reveal()).toBe("filetoken");
    const bare = withTestbed("").replace(`[factory]\ntoken = "abc123"\n`, "");
    expect(read(bare, { systemdCredential: "credential\n" }).token.reveal()).toBe("credential");
  });

  test("lists every problem of a file at once, in the file's order", () => {
    const text = `top = 1
[general]
baseurl = "ftp://x"
pol_interval = "1s"
token = "secretsecret"
keep = { dayz = 3, size = "lots" }
use_privilege_elevation = "yes"
[factory]
token = 12345
[testbed.a]
sp_type = "gimlt"
targets = []
ssh_port = 70000
[testbed.A]
sp_type = "gimlet"
targets = [
  "sp-gimlet",
  "sp-gimle",
]
host = "-oProxyCommand=x"
sp_runner_url = "http://u:p@h"
[testbed."x/y"]
targets = "sp"
start_timeout = 5
[testbeds.c]
[target.sp-gimlet]
id = "nope"
`;
    const failure = failureOf(text);
    expect(failure).toBeInstanceOf(ConfigError);
    expect(failure.exitCode).toBe(2);
    expect(failure.message).toBe(`Cannot use config.toml: 21 problems
  config.toml:1: top: unknown key
    The sections are [general], [factory], [testbed.NAME], [target.NAME], [update], [web] and [notify]
  config.toml:3: general.baseurl: "ftp://x" is not an http or https URL
    Write only scheme, host and port, as in "https://buildomat.example.org"
  config.toml:4: general.pol_interval: unknown key
    Did you mean poll_interval?
  config.toml:5: general.token: unknown key
    It belongs under [factory]
  config.toml:6: general.keep.size: "lots" is not a size
    Write a number and one of B, kB, MB, GB, TB, KiB, MiB, GiB, TiB, as in "10GB"
  config.toml:6: general.keep.dayz: unknown key
    Did you mean days?
  config.toml:7: general.use_privilege_elevation: must be true or false, not a string
    Write it as in use_privilege_elevation = false
  config.toml:9: factory.token: must be a string, not a number
    Write it as in token = "..."
  config.toml:11: testbed.a.sp_type: "gimlt" is not a known type
    Write one of gimlet, grapefruit, sidecar, psc; did you mean "gimlet"?
  config.toml:12: testbed.a.targets: it is empty
    Write it as in targets = ["sp-gimlet"]
  config.toml:13: testbed.a.ssh_port: 70000 is too large
    Write at most 65535
  config.toml:14: testbed.A: [testbed.a] differs only in upper and lower case
    Rename one of the two
  config.toml:18: testbed.A.targets[1]: there is no [target.sp-gimle] section
    Did you mean "sp-gimlet"? If not, add [target.sp-gimle]
  config.toml:20: testbed.A.host: "-oProxyCommand=x" is not a host name
    Write a host name, an address, or a Host from your ssh configuration, as in "lab-3.example.org"
  config.toml:21: testbed.A.sp_runner_url: a user name or password in a URL would appear in logs
    Write only scheme, host and port, as in "https://buildomat.example.org"
  config.toml:22: testbed."x/y": this name cannot be used
    Use up to 64 letters, digits, dots, underscores and hyphens; begin with a letter or digit
  config.toml:22: testbed."x/y".sp_type: it is missing
    Add sp_type = "gimlet" to [testbed."x/y"]
  config.toml:23: testbed."x/y".targets: must be an array, not a string
    Write it as in targets = ["sp-gimlet"]
  config.toml:24: testbed."x/y".start_timeout: must be a string, not a number
    Write it as in start_timeout = "5m"
  config.toml:25: testbeds: unknown section
    Did you mean testbed? The sections are [general], [factory], [testbed.NAME], [target.NAME], [update], [web] and [notify]
  config.toml:27: target.sp-gimlet.id: "nope" is not a ULID
    Write the 26 characters that the server's administrator sees for the target, as in "01HGYSTRYRBS0DG7J6E22ZS3M5"`);
  });

  test("lists the first hundred problems and how many more there are", () => {
    const lines = Array.from({ length: 130 }, (_, index) => `unknown${index} = 1`);
    const { message } = failureOf(withTestbed(lines.join("\n")));
    expect(message.split("\n")).toHaveLength(1 + 2 * 100 + 1);
    expect(message).toStartWith("Cannot use config.toml: 130 problems\n");
    expect(message).toEndWith("\n  and 30 more");
  });

  test("F64 reads ten thousand testbeds and finds the wrong one", () => {
    const testbeds = Array.from(
      { length: 10_000 },
      (_, index) => `[testbed.bed-${index}]\nsp_type = "gimlet"\ntargets = ["t"]\n`,
    );
    const config = read(withTestbed(testbeds.join("")));
    expect(config.testbeds).toHaveLength(10_001);
    const { message } = failureOf(
      withTestbed(`${testbeds.join("")}[testbed.BED-77]\nsp_type = "psc"\ntargets = ["t"]`),
    );
    expect(message).toBe(`Cannot use config.toml: 1 problem
  config.toml:30009: testbed.BED-77: [testbed.bed-77] differs only in upper and lower case
    Rename one of the two`);
  });

  test("refuses a work directory in the environment that jobs cannot see", () => {
    expect(failureOf(withTestbed(""), { env: { BUILDOMAT_WORK_DIR: "/work/x" } }).message)
      .toBe(`Cannot use config.toml: 1 problem
  environment: BUILDOMAT_WORK_DIR: "/work/x" cannot be used: each job has its own /work and /input
    Choose a directory outside /work and /input`);
  });

  test("accepts names such as constructor, which JavaScript objects have themselves", () => {
    const names = ["constructor", "toString", "hasOwnProperty", "valueOf"];
    const sections = names.map(
      (name) => `[testbed.${name}]\nsp_type = "psc"\ntargets = ["__proto__", "${name}"]`,
    );
    const targets = ["__proto__", ...names].map((name) => `[target.${name}]`);
    const config = read(withTestbed([...sections, ...targets].join("\n")));
    expect(config.testbeds.map((testbed) => testbed.name)).toEqual(["a", ...names]);
    expect(config.testbeds[1]?.targets).toEqual(["__proto__", "constructor"]);
    expect(Object.hasOwn(Object.prototype, "sp_type")).toBe(false);
    for (const name of ["__proto__", ...names]) {
      expect(failureOf(`${name} = 1\n${withTestbed("")}`).message).toContain(
        `config.toml:1: ${name}: unknown key`,
      );
      expect(failureOf(withTestbed(`${name} = 1`)).message).toContain(
        `config.toml:9: testbed.a.${name}: unknown key`,
      );
    }
    expect(failureOf(withTestbed("__proto__.host = 'x'")).message).toContain(
      "testbed.a.__proto__: unknown key",
    );
    expect(failureOf(`[__proto__]\nenabled = false\n${withTestbed("")}`).message).toContain(
      "config.toml:1: __proto__: unknown section",
    );
  });
});

describe("a problem is reported with line, key and fix:", () => {
  const host = `a host name, an address, or a Host from your ssh configuration, as in "lab-3.example.org"`;
  const url = `Write only scheme, host and port, as in "https://buildomat.example.org"`;
  const path = `Begin it with "/", or with "~/" for the home directory`;
  const unit = (example: string): string => `Write a number and one of ms, s, m, h, d, as in "${example}"`;
  const cases: [what: string, lines: string, wrong: string, fix: string][] = [
    ["a duration without a unit", `job_timeout = "90"`, `job_timeout: "90" is not a duration`, unit("2h")],
    [
      "a duration with an unknown unit",
      `job_timeout = "9w"`,
      `job_timeout: "9w" is not a duration`,
      unit("2h"),
    ],
    ["a negative duration", `job_timeout = "-9s"`, `job_timeout: "-9s" is not a duration`, unit("2h")],
    [
      "a duration of nothing",
      `start_timeout = "0s"`,
      `start_timeout: "0s" is too short`,
      `Write at least "1000ms"`,
    ],
    [
      "a duration of years",
      `silence_timeout = "999d"`,
      `silence_timeout: "999d" is too long`,
      `Write at most "365d"`,
    ],
    ["an option as host", `host = "-G"`, `host: "-G" is not a host name`, `Write ${host}`],
    ["a host with a space", `host = "a b"`, `host: "a b" is not a host name`, `Write ${host}`],
    ["an empty host", `host = ""`, `host: "" is not a host name`, `Write ${host}`],
    [
      "a host with its user",
      `host = "u@h"`,
      `host: "u@h" has a user in it`,
      "Write only the host here, and the user as ssh_user",
    ],
    [
      "an option as user",
      `ssh_user = "-l"`,
      `ssh_user: "-l" is not a user name`,
      `Write the name of an account on that host, as in "lab"`,
    ],
    ["a port of zero", "ssh_port = 0", "ssh_port: 0 is too small", "Write at least 1"],
    [
      "a port with a fraction",
      "ssh_port = 2.5",
      "ssh_port: must be a whole number, not 2.5",
      "Write it as in ssh_port = 22",
    ],
    [
      "a port as a string",
      `ssh_port = "22"`,
      "ssh_port: must be a number, not a string",
      "Write it as in ssh_port = 22",
    ],
    ["a relative key path", `ssh_key = "id_rsa"`, `ssh_key: "id_rsa" is not an absolute path`, path],
    ["another user's home", `ssh_key = "~bob/id"`, `ssh_key: "~bob/id" is not an absolute path`, path],
    [
      "a host key without its type",
      `host_key = "AAAA"`,
      `host_key: "AAAA" is not a public host key`,
      `Write the key's type and the key, as ssh-keyscan prints them after the host's name: "ssh-ed25519 AAAAC3Nza..."`,
    ],
    [
      "two host keys",
      `host_key = "ssh-rsa AAAAAAAAAAAAAAAAAAAA\\nssh-rsa B"`,
      `host_key: "ssh-rsa AAAAAAAAAAAAAAAAAAAA\\nssh-rsa B" is not a public host key`,
      `Write the key's type and the key, as ssh-keyscan prints them after the host's name: "ssh-ed25519 AAAAC3Nza..."`,
    ],
    [
      "a remote directory in /input",
      `work_dir = "/var/../input"`,
      `work_dir: "/var/../input" cannot be used: each job has its own /work and /input`,
      "Choose a directory outside /work and /input",
    ],
    [
      "an sp-runner and a host",
      `host = "h"\nsp_runner_url = "http://h:1"`,
      "sp_runner_url: host is also set",
      "Keep host to run an agent over ssh, or sp_runner_url to give jobs to an sp-runner",
    ],
    [
      "a URL of another scheme",
      `sp_runner_url = "file:///x"`,
      `sp_runner_url: "file:///x" is not an http or https URL`,
      url,
    ],
    [
      "a URL with a query",
      `sp_runner_url = "http://h/?a"`,
      `sp_runner_url: "http://h/?a" has a query or fragment`,
      url,
    ],
    [
      "a URL with an empty fragment",
      `sp_runner_url = "http://h/#"`,
      `sp_runner_url: "http://h/#" has a query or fragment`,
      url,
    ],
    [
      "a URL with a line break",
      `sp_runner_url = "http://h\\n"`,
      "sp_runner_url: a URL cannot have spaces or control characters",
      url,
    ],
    [
      "a URL without slashes",
      `sp_runner_url = "http:h"`,
      `sp_runner_url: "http:h" is not an http or https URL`,
      url,
    ],
    [
      "a URL behind other text",
      `sp_runner_url = "xhttp://h"`,
      `sp_runner_url: "xhttp://h" is not an http or https URL`,
      url,
    ],
    [
      "a URL with a user",
      `sp_runner_url = "http://u@h"`,
      "sp_runner_url: a user name or password in a URL would appear in logs",
      url,
    ],
    [
      "a URL with a password",
      `sp_runner_url = "http://:p@h"`,
      "sp_runner_url: a user name or password in a URL would appear in logs",
      url,
    ],
    ["a host with two users", `host = "a@b@c"`, `host: "a@b@c" is not a host name`, `Write ${host}`],
    [
      "a host key behind its host",
      `host_key = "h ssh-ed25519 AAAAAAAAAAAAAAAAAAAA"`,
      `host_key: "h ssh-ed25519 AAAAAAAAAAAAAAAAAAAA" is not a public host key`,
      `Write the key's type and the key, as ssh-keyscan prints them after the host's name: "ssh-ed25519 AAAAC3Nza..."`,
    ],
    [
      "a command of two lines",
      `check = "a\\nb"`,
      `check: "a\\nb" is not one line of text`,
      "Write a command line that exits with 0 when the testbed is ready",
    ],
    [
      "a command behind a line break",
      `check = "\\nb"`,
      `check: "\\nb" is not one line of text`,
      "Write a command line that exits with 0 when the testbed is ready",
    ],
    [
      "an account with a backslash",
      `ssh_user = 'A\\b'`,
      `ssh_user: "A\\\\b" is not a user name`,
      `Write the name of an account on that host, as in "lab"`,
    ],
    [
      "a millisecond too little",
      `start_timeout = "999ms"`,
      `start_timeout: "999ms" is too short`,
      `Write at least "1000ms"`,
    ],
    [
      "an empty command",
      `check = " "`,
      `check: " " is not one line of text`,
      "Write a command line that exits with 0 when the testbed is ready",
    ],
    [
      "a note with an escape sequence",
      `note = "\\u001b[2J"`,
      `note: "\\u001b[2J" contains line breaks or control characters`,
      "Write one line of text",
    ],
    [
      "a date",
      "baseline = 2024-01-01",
      "baseline: must be a string, not a date",
      `Write it as in baseline = "v16"`,
    ],
    [
      "a table",
      "baseline = { a = 1 }",
      "baseline: must be a string, not a table",
      `Write it as in baseline = "v16"`,
    ],
    [
      "a number as a boolean",
      "enabled = 1",
      "enabled: must be true or false, not a number",
      "Write it as in enabled = true",
    ],
    ["a misspelt key", `sp_typo = "x"`, "sp_typo: unknown key", "Did you mean sp_type?"],
    ["a swapped key", `hots = "x"`, "hots: unknown key", "Did you mean host?"],
    [
      "a key of another section",
      `poll_interval = "1s"`,
      "poll_interval: unknown key",
      "It belongs under [general]",
    ],
  ];
  test.each(cases)("%s", (_what, lines, wrong, fix) => {
    const line = 8 + lines.split("\n").length;
    expect(failureOf(withTestbed(lines)).message).toBe(`Cannot use config.toml: 1 problem
  config.toml:${line}: testbed.a.${wrong}
    ${fix}`);
  });

  test("a misspelt key that is required is not reported as missing, too", () => {
    const message = failureOf(withTestbed("").replace("sp_type", "sptype")).message;
    expect(message).toMatch(
      /^Cannot use config.toml: 1 problem\n.*testbed.a.sptype: unknown key\n +Did you mean sp_type\?$/,
    );
  });

  const names = [".", "..", ".a", "-a", "a/b", "a b", "a\\tb", "é", "a".repeat(65), "", "a\\u0000"];
  test.each(names)("a testbed named %j", (name) => {
    const [wrong] = failureOf(`${withTestbed("")}[testbed."${name}"]\nsp_type = "psc"\ntargets = ["t"]`)
      .message.split("\n")
      .slice(1);
    expect(wrong).toMatch(/^ {2}config\.toml:10: testbed\.\S.*: this name cannot be used$/);
  });

  const variables: [line: string, wrong: string, fix: string][] = [
    [
      `"9A" = "x"`,
      "it cannot be a variable's name",
      "Use letters, digits and underscores; do not begin with a digit",
    ],
    [
      `"A B" = "x"`,
      "it cannot be a variable's name",
      "Use letters, digits and underscores; do not begin with a digit",
    ],
    [`A = 5`, "must be a string, not a number", `Write A = "..."`],
    [`A = "hide\\nme"`, "it contains a line break or a zero byte", "Write one line of text"],
    [`HOME = "hide"`, "the factory or a shell sets this variable", "Remove it"],
    [`BUILDOMAT_OPT = "hide"`, "the factory or a shell sets this variable", "Remove it"],
    [
      `NODE_TLS_REJECT_UNAUTHORIZED = "0"`,
      "it would let anybody pose as the server",
      "Remove it; for a private certificate authority, set NODE_EXTRA_CA_CERTS",
    ],
  ];
  test.each(variables)("a variable of agents: %s", (line, wrong, fix) => {
    const text = withTestbed("").replace("[factory]", `[general.agent_environment]\n${line}\n[factory]`);
    const { message } = failureOf(text);
    expect(message).toContain(`: ${wrong}\n    ${fix}`);
    expect(message).toMatch(/config\.toml:\d+: general\.agent_environment\.("?)[A-Z0-9_ ]+\1: /);
    expect(message).not.toContain("hide");
  });

  test("text that is not TOML, without the password in a proxy's address", () => {
    const text = `[general]\nagent_environment = { HTTPS_PROXY = "http://lab:pass@proxy:3128"\n`;
    const { message } = failureOf(text);
    expect(message).toContain("http://***@proxy:3128");
    expect(message).not.toContain("pass");
  });

  const general: [lines: string, wrong: string, fix: string][] = [
    [
      `work_dir = "/work"`,
      `work_dir: "/work" cannot be used: each job has its own /work and /input`,
      "Choose a directory outside /work and /input",
    ],
    [
      `work_dir = "/input/x/"`,
      `work_dir: "/input/x" cannot be used: each job has its own /work and /input`,
      "Choose a directory outside /work and /input",
    ],
    [`work_dir = "work"`, `work_dir: "work" is not an absolute path`, path],
    [
      `agent = "x~/agent"`,
      `agent: "x~/agent" is not an absolute path`,
      `Write the agent's path from "/" or "~/", or "builtin" for the built-in agent`,
    ],
    [
      `agent = "agent"`,
      `agent: "agent" is not an absolute path`,
      `Write the agent's path from "/" or "~/", or "builtin" for the built-in agent`,
    ],
    [`isolate = "on"`, `isolate: "on" is not a known mode`, `Write "auto" or "off"`],
    [`poll_interval = "1ms"`, `poll_interval: "1ms" is too short`, `Write at least "50ms"`],
    [`keep.days = -1`, "keep.days: -1 is too small", "Write at least 0"],
    [`keep.days = nan`, "keep.days: must be a number, not NaN", "Write it as in days = 14"],
    [
      `keep.size = "-1GB"`,
      `keep.size: "-1GB" is not a size`,
      `Write a number and one of B, kB, MB, GB, TB, KiB, MiB, GiB, TiB, as in "10GB"`,
    ],
  ];
  test.each(general)("general: %s", (lines, wrong, fix) => {
    const text = withTestbed("").replace("[factory]", `${lines}\n[factory]`);
    expect(failureOf(text).message).toBe(`Cannot use config.toml: 1 problem
  config.toml:3: general.${wrong}
    ${fix}`);
  });

  const tokens: [what: string, lines: string, over: Partial<ConfigSource>, wrong: string, fix: string][] = [
    [
      "no token",
      "",
      {},
      "3: factory.token: there is no token",
      `Add token = "..." or token_file = "..." to [factory]`,
    ],
    [
      "a short token",
      `token = "ab "`,
      {},
      "4: factory.token: it is shorter than 3 characters",
      "Write the token as the server printed it",
    ],
    [
      "an empty token",
      `token = "  "`,
      {},
      "4: factory.token: it is empty",
      "Write the token as the server printed it",
    ],
    [
      "a broken token",
      `token = "abc def"`,
      {},
      "4: factory.token: it contains a space or a line break",
      "Write the token as the server printed it",
    ],
    [
      "a token with a foreign letter",
      `token = "abcé"`,
      {},
      "4: factory.token: it contains characters that an HTTP header cannot carry",
      "Write the token as the server printed it",
    ],
    [
      "two tokens",
      `token = "abc"\ntoken_file = "/t"`,
      { readTokenFile: () => "abc" },
      "4: factory.token: token and token_file are set",
      "Keep one of them",
    ],
    [
      "a token and a credential",
      `token = "abc"`,
      { systemdCredential: "abc" },
      "4: factory.token: token and systemd's credential factory-token are set",
      "Keep one of them",
    ],
    [
      "a token file that cannot be read",
      `token_file = "~/t"`,
      {},
      `4: factory.token_file: cannot read "/home/lab/t": no file at /home/lab/t in this test`,
      "Write the token to that file, readable only by the factory's user, or name another file",
    ],
    [
      "a token file with two lines",
      `token_file = "/t"`,
      { readTokenFile: () => "abc\ndef\n" },
      "4: factory.token_file: no token in /t: it contains a space or a line break",
      "It must contain only the token, on one line",
    ],
    [
      "an empty credential",
      "",
      { systemdCredential: "" },
      "3: factory.token_file: no token in systemd's credential factory-token: it is empty",
      "It must contain only the token, on one line",
    ],
  ];
  test.each(tokens)("%s", (_what, lines, over, wrong, fix) => {
    const text = withTestbed("").replace(`token = "abc123"`, lines);
    expect(failureOf(text, over).message).toBe(`Cannot use config.toml: 1 problem
  config.toml:${wrong}
    ${fix}`);
  });

  test("a token with only its first character wrong", () => {
    const text = withTestbed("").replace("abc123", "éabc");
    expect(failureOf(text).message).toContain("factory.token: it contains characters");
  });

  test.each(["a b", " a", "a\\tb", "\\u202ea", "", "a".repeat(129)])("a target named %j", (name) => {
    const [problem] = failureOf(withTestbed(`[target."${name}"]`))
      .message.split("\n")
      .slice(1);
    expect(problem).toMatch(/^ {2}config\.toml:9: target\..*: this name cannot be used$/);
  });

  test("an unknown key, together with the problems of other keys", () => {
    const text = withTestbed(`hots = "x"\nwork_dir = "/work"`).replace(`["t"]`, `["t", "u"]`);
    expect(failureOf(text).message).toBe(`Cannot use config.toml: 3 problems
  config.toml:8: testbed.a.targets[1]: there is no [target.u] section
    Add [target.u]
  config.toml:9: testbed.a.hots: unknown key
    Did you mean host?
  config.toml:10: testbed.a.work_dir: "/work" cannot be used: each job has its own /work and /input
    Choose a directory outside /work and /input`);
  });

  test("an unknown key of a testbed that has a section's name", () => {
    const text = withTestbed("").replace("[testbed.a]", "[testbed.keep]\nenabeld = true");
    expect(failureOf(text).message).toContain("testbed.keep.enabeld: unknown key\n    Did you mean enabled?");
  });

  test("two targets with one id", () => {
    const id = "01HGYSTRYRBS0DG7J6E22ZS3M5";
    expect(failureOf(withTestbed(`[target.x]\nid = "${id}"\n[target.${id.toLowerCase()}]`)).message)
      .toBe(`Cannot use config.toml: 1 problem
  config.toml:11: target.${id.toLowerCase()}.id: [target.x] has the same id
    Keep one of the two sections`);
  });

  test("sections that are missing or are not sections", () => {
    expect(failureOf("").message).toBe(`Cannot use config.toml: 2 problems
  config.toml:1: general: the section is missing
    Add [general] with baseurl = "https://buildomat.example.org"
  config.toml:1: factory.token: there is no token
    Add token = "..." or token_file = "..." to [factory]`);
    expect(failureOf(`general = 5\ntarget = "t"\nfactory.token = "abc"\n[[testbed]]\n`).message)
      .toBe(`Cannot use config.toml: 3 problems
  config.toml:1: general: must be a section, not a number
    Begin it with [general]
  config.toml:2: target: must be sections, not a string
    Begin each with [target.NAME]
  config.toml:4: testbed: must be sections, not an array
    Begin each with [testbed.NAME]`);
  });
});

describe("a text that is not TOML is reported in smol-toml's words", () => {
  test("with line, column and source, and without the token", () => {
    const text = `[general]\nbaseurl = "http://h"\nbaseurl = "http://i"\n[factory]\ntoken = "tok-en-1"\n`;
    expect(failureOf(text).message)
      .toBe(`Cannot read config.toml:3: Invalid TOML document: trying to redefine an already defined table or value

2:  baseurl = "http://h"
3:  baseurl = "http://i"
    ^
4:  [factory]`);
    const forms = [
      `token = "tok-en-1`,
      `token = """\ntok-en-1\n""" x`,
      `"token" = 'tok-en-1' x`,
      `token = tok-en-1`,
    ];
    for (const form of forms) {
      const failure = failureOf(`[factory]\n${form}\n`);
      expect(failure.exitCode).toBe(2);
      expect(Bun.inspect(failure)).not.toContain("tok-en-1");
    }
  });

  test("a testbed that is defined twice", () => {
    expect(failureOf(withTestbed("[testbed.a]")).message)
      .toBe(`Cannot read config.toml:9: Invalid TOML document: trying to redefine an already defined table or value

8 :  targets = ["t"]
9 :  [testbed.a]
      ^`);
  });
});

test("any change to a configuration gives a Config, or a FactoryError that does not show the token", () => {
  const base = rustExample
    .replace("[factory]", "keep = { days = 1 }\n$&")
    .replace("enabled = true", `$&\nhost = "h"\ncheck = "true"\njob_timeout = "2h"\n# end`);
  // Deterministic, so that a failure can be repeated.
  let seed = 20_240_817;
  const below = (limit: number): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff;
    return Math.floor((seed / 0x80000000) * limit);
  };
  const scraps = [
    '"',
    "'",
    '"""',
    "[",
    "]",
    "[[",
    "{",
    "}",
    "=",
    ".",
    ",",
    "#",
    "\n",
    "\r\n",
    "\\",
    "\\u00e9",
    "\0",
    "\u{1f4a5}",
    "\ud800",
    "é",
    "nan",
    "-inf",
    "1e9",
    "0x1f",
    "true",
    "1979-05-27",
    "__proto__",
    "testbed",
    "[target.x]",
    "999999999999999999999",
    "~/",
    "http://",
    "90s",
    " ",
    "\t",
    "\ufeff",
    "\u202e",
  ];
  const tokenLine = `token = "your-factory-token-here"`;
  const counts = { accepted: 0, refused: 0 };
  for (let round = 0; round < 5000; round++) {
    let text = base;
    for (let change = below(4); change >= 0; change--) {
      const at = below(text.length);
      const length = below(3) === 0 ? below(40) : below(3);
      const scrap =
        below(4) === 0 ? text.slice(below(text.length)).slice(0, below(60)) : scraps[below(scraps.length)];
      text = text.slice(0, at) + scrap + text.slice(at + length);
    }
    try {
      read(text);
      counts.accepted++;
    } catch (error) {
      if (!(error instanceof FactoryError))
        throw new Error(`not a FactoryError: ${JSON.stringify(text)}`, { cause: error });
      expect(error.exitCode).toBe(2);
      const isTokenWhole = text.includes(`\n${tokenLine}\n`) && text.split("your-factory-token").length === 2;
      if (isTokenWhole) expect(error.message).not.toContain("your-factory-token");
      counts.refused++;
    }
  }
  expect(counts.accepted).toBeGreaterThan(100);
  expect(counts.refused).toBeGreaterThan(1000);
});
