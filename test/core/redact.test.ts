// Redaction: every rule's canary must vanish wherever it is put, and ordinary text must stay.

import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";

import * as fc from "fast-check";

import { createRedactor } from "../../src/core/redact.ts";
import { TOKEN_RULES } from "../../src/core/redact-rules.ts";

const redactor = createRedactor();

// Put together at run time, so that no scanner takes this file for a leak.
const mixed = (length: number): string => "aB3dE5gH7jK9".repeat(40).slice(0, length);
const hex = (length: number): string => "0a1b2c3d4e5f6789".repeat(20).slice(0, length);
const upper = (length: number): string => "Q7WERTY2UIOP4ASD".repeat(20).slice(0, length);

/** Rule name, secret, and how it stands in a text (`@` is the secret) where it needs company. */
const CANARIES: [rule: string, secret: string, inText?: string][] = [
  [
    "private-key",
    `${mixed(64)}\n${mixed(40)}==`,
    "-----BEGIN RSA PRIVATE KEY-----\n@\n-----END RSA PRIVATE KEY-----",
  ],
  [
    "private-key",
    `${mixed(64)}\\n${mixed(30)}`,
    "-----BEGIN PRIVATE KEY-----\\n@\\n-----END PRIVATE KEY-----\\n",
  ],
  ["private-key", mixed(64), "-----BEGIN OPENSSH PRIVATE KEY-----\n@"],
  ["age-key", `AGE-SECRET-KEY-1${upper(58)}`],
  ["anthropic", `sk-ant-api03-${mixed(90)}`],
  ["openai", `sk-proj-${mixed(60)}`],
  ["openrouter", `sk-or-v1-${hex(64)}`],
  ["secret-key", `sk-${mixed(48)}`],
  ["google-api-key", `AIza${mixed(35)}`],
  ["google-oauth", `ya29.${mixed(60)}`],
  ["google-oauth", `GOCSPX-${mixed(28)}`],
  ["google-refresh", `1//0${mixed(60)}`],
  ["aws-key-id", `AKIA${upper(16)}`],
  ["aws-key-id", `ASIA${upper(16)}`],
  ["aws-secret", mixed(40), `AKIA${upper(16)},@`],
  ["aws-bedrock", `ABSK${mixed(120)}`],
  ["github", `ghp_${mixed(36)}`],
  ["github", `gho_${mixed(36)}`],
  ["github", `ghu_${mixed(36)}`],
  ["github", `ghs_${mixed(36)}`],
  ["github", `ghr_${mixed(36)}`],
  ["github", `github_pat_${mixed(22)}_${mixed(59)}`],
  ["gitlab", `glpat-${mixed(20)}`],
  ["slack", `xoxb-${"1234567890-".repeat(2)}${mixed(24)}`],
  ["slack", `xapp-1-${mixed(40)}`],
  [
    "slack-webhook",
    `T${upper(10)}/B${upper(10)}/${mixed(24)}`,
    "https://hooks.slack.com/services/@",
  ],
  ["discord-webhook", mixed(68), "https://discord.com/api/webhooks/123456789012345678/@"],
  ["discord", `M${mixed(24)}.${mixed(6)}.${mixed(38)}`],
  ["telegram", `123456789:AA${mixed(33)}`],
  ["stripe", `sk_live_${mixed(24)}`],
  ["stripe", `rk_live_${mixed(24)}`],
  ["stripe", `whsec_${mixed(32)}`],
  ["npm", `npm_${mixed(36)}`],
  ["pypi", `pypi-${mixed(120)}`],
  ["hugging-face", `hf_${mixed(34)}`],
  ["sendgrid", `SG.${mixed(22)}.${mixed(43)}`],
  ["mailgun", `key-${hex(32)}`],
  ["twilio", `SK${hex(32)}`],
  ["digitalocean", `dop_v1_${hex(64)}`],
  ["shopify", `shpat_${hex(32)}`],
  ["square", `sq0atp-${mixed(22)}`],
  ["groq", `gsk_${mixed(52)}`],
  ["xai", `xai-${mixed(80)}`],
  ["replicate", `r8_${mixed(37)}`],
  ["perplexity", `pplx-${mixed(48)}`],
  ["nvidia", `nvapi-${mixed(64)}`],
  ["linear", `lin_api_${mixed(40)}`],
  ["notion", `ntn_${mixed(46)}`],
  ["atlassian", `ATATT3${mixed(180)}`],
  ["docker", `dckr_pat_${mixed(27)}`],
  ["vault", `hvs.${mixed(90)}`],
  ["grafana", `glsa_${mixed(32)}_${hex(8)}`],
  ["supabase", `sbp_${hex(40)}`],
  ["sentry", `sntrys_${mixed(80)}`],
  ["figma", `figd_${mixed(40)}`],
  ["postman", `PMAK-${hex(24)}-${hex(34)}`],
  ["jwt", `eyJ${mixed(30)}.eyJ${mixed(60)}.${mixed(43)}`],
  [
    "azure-key",
    `${mixed(86)}==`,
    "DefaultEndpointsProtocol=https;AccountName=x;AccountKey=@;EndpointSuffix=y",
  ],
  ["signed-url", `${mixed(43)}%3D`, "https://x.blob.core.windows.net/c?sv=1&sig=@"],
  ["url-password", "hunter-two!", "https://bob:@@example.com/x"],
  ["url-password", "hunter-two!", "mongodb+srv://bob:@@cluster0.example.net/db"],
  ["url-password", "p@ss-word", "postgres://bob:@@db:5432/app"],
  ["url-password", "hunter2x", "https:\\/\\/bob:@@example.com\\/x"],
  ["url-token", mixed(40), "https://@@github.com/o/r.git"],
  ["curl-user", "hunter2x", "curl -sS -u bob:@ https://example.com"],
  ["bearer", mixed(40), "sent with Bearer @ to it"],
  ["authorization", "dXNlcjpwYXNz", "Authorization: Basic @"],
  ["authorization", mixed(24), "curl -H 'authorization: bearer @' x"],
  ["password", "hunter2x", "password=@"],
  ["password", "swordfish", "DB_PASSWORD=@"],
  ["password", "swordfish", "password: @\nuser: bob"],
  ["password", "correct horse battery", 'password = "@"'],
  ["password", "hunter2x", "deploy --password @ --force"],
  ["password", "hunter2x", "deploy --db-password=@"],
  ["password", "hunter2x", "Server=db;Uid=sa;Pwd=@;"],
  ["password", 'hun\\"ter2', 'password: "@"'],
  ["password", "hunter2x", '{\\"password\\":\\"@\\"}'],
  ["password", "hunter2x", '{\\\\\\"passwd\\\\\\": \\\\\\"@\\\\\\"}'],
  ["password", "31337", '{"password": @, "a": 1}'],
  ["secret", "swordfish", "FOO_SECRET=@"],
  ["client-secret", "swordfish8", 'clientSecret: "@"'],
  ["key", "swordfish8", '"api_key": "@"'],
  ["key", mixed(40), "aws_secret_access_key = @"],
  ["token", "abc123def456", "export GITHUB_TOKEN=@"],
  ["token", "abc123def456", "TOKEN: @"],
  ["token", "swordfish8", "https://x.example/?access_token=@&page=2"],
  ["connection-string", "Server=x;Key=y1", 'CONNECTION_STRING="@"'],
  ["cookie", "sid=abcdef123456", "Set-Cookie: @; Path=/"],
];

describe("Redactor.text", () => {
  test.each(CANARIES)("takes out %s", (rule, secret, inText = "@") => {
    const text = inText.replace("@", () => secret);
    const clean = redactor.text(`before\n${text}\nafter`);
    expect(clean).not.toContain(secret);
    expect(clean).toStartWith("before\n");
    // A key without its end line may take the word after it along.
    if (!text.endsWith(`KEY-----\n${secret}`)) expect(clean).toEndWith("\nafter");
    expect(clean).toMatch(/\[redacted:[a-z0-9-]+:[0-9a-f]{4}\]/);
    if (TOKEN_RULES.some(({ name }) => name === rule))
      expect(clean).toContain(`[redacted:${rule}:`);
  });

  test("has a canary for every token rule", () => {
    const covered = new Set(CANARIES.map(([rule]) => rule));
    expect(TOKEN_RULES.map(({ name }) => name).filter((name) => !covered.has(name))).toEqual([]);
  });

  test("gives the same secret the same marker and different ones different markers", () => {
    const one = redactor.text("password=hunter2");
    expect(redactor.text("password=hunter2")).toBe(one);
    expect(redactor.text("password=hunter3")).not.toBe(one);
  });

  test("finds a token behind an escaped line break", () => {
    expect(redactor.text(`x\\nsk-${mixed(48)}`)).toContain("[redacted:secret-key:");
  });

  test("keeps the user of a URL", () => {
    expect(redactor.text("https://bob:hunter2@example.com")).toMatch(
      /^https:\/\/bob:\[redacted:url-password:[0-9a-f]{4}\]@example\.com$/,
    );
  });

  test.each([
    "password = getpass()",
    "password = getpass.getpass('Password: ')",
    'token = os.environ["TOKEN"]',
    'password = os.environ["PASSWORD"]',
    "apiKey: process.env.API_KEY,",
    "secret_key = settings.SECRET_KEY",
    "self.password = password",
    "const password = value;",
    "login(password=pw, x=1)",
    "password: string;",
    "password?: string",
    "if (token === expected) return",
    "const token = tokens[i];",
    'token: "identifier"',
    "max_tokens: 4096",
    "input_tokens=12, token_count=5, total_tokens: 99",
    "commit 869e1ff0123456789abcdef0123456789abcdef01",
    "id 123e4567-e89b-12d3-a456-426614174000",
    `sha256:${hex(64)}`,
    "https://localhost:3800/a@b",
    "git@github.com:org/repo.git",
    "https://bob:${PASSWORD}@example.com",
    'curl -H "Authorization: Bearer $TOKEN" https://x',
    "docker run -u 1000:1000 image",
    "PWD=/home/dev/shop",
    "cd /tmp && pwd",
    "The password: must be at least eight characters",
    "the secret is patience",
    "secrets: inherit",
    "import secrets; secrets.token_hex(16)",
    "password=<your password>",
    'password: ""',
    "password=****",
    "cookie: chocolate chip",
    "task-runner-configuration-of-the-year",
    "disk-usage-report-generator-module-2024x",
    "private_key_path: /etc/ssl/key.pem",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    "toolu_017c636b54906f4448aa5d18",
    "room broom oom tokenizer keyboard",
  ])("leaves ordinary text alone: %s", (text) => {
    expect(redactor.text(text)).toBe(text);
  });

  test("is idempotent", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...CANARIES),
        fc.string({ unit: "grapheme" }),
        (canary, around) => {
          const [, secret, inText = "@"] = canary;
          const once = redactor.text(`${around} ${inText.replace("@", () => secret)}\n${around}`);
          expect(redactor.text(once)).toBe(once);
        },
      ),
      { numRuns: 300 },
    );
  });

  const PATHOLOGICAL = [
    "-----BEGIN PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----A",
    "eyJ",
    "eyJ-",
    "-eyJaaaaaaaa.",
    "sk-",
    "sk-ant-",
    "password='",
    'password="\\',
    "password=",
    "token: ",
    "://",
    "://a:",
    "/a:b",
    "curl ",
    "curl -u a:",
    "cookie: a=",
    "authorization: ",
    "--password ",
    "M.",
    "AKIA",
    "AKIAAAAAAAAAAAAAAAAA ",
    "\\",
    "[redacted:",
    "[redacted:password:abcd]",
    "a",
    "0",
    "_-",
  ];
  test.each(PATHOLOGICAL)("ends soon on repetitions of %p", (unit) => {
    const text = unit.repeat(Math.ceil(100_000 / unit.length));
    const start = performance.now();
    redactor.text(text);
    redactor.text(`password=${text}@`);
    // Generous: what grows faster than linearly takes minutes.
    expect(performance.now() - start).toBeLessThan(2_000);
  });

  test("ends soon on random text of 100 kB", () => {
    const unit = fc.constantFrom(...PATHOLOGICAL, " ", "\n", '"', "@", ":", "=", "x1");
    fc.assert(
      fc.property(fc.array(unit, { minLength: 50, maxLength: 200 }), (units) => {
        const block = units.join("");
        const start = performance.now();
        redactor.text(block.repeat(Math.ceil(100_000 / block.length)));
        expect(performance.now() - start).toBeLessThan(2_000);
      }),
      { numRuns: 20 },
    );
  });
});

describe("Redactor.json", () => {
  test("answers null for what holds no secret", () => {
    const usage = {
      input: 5,
      output: 7,
      cache_read: 0,
      cache_write: 0,
      max_tokens: 9,
      tokens: [1],
    };
    expect(redactor.json(JSON.stringify({ tool: "Bash", usage }))).toBeNull();
    expect(
      redactor.json(JSON.stringify({ note: "a token of gratitude", token: "word" })),
    ).toBeNull();
  });

  test.each([
    ["password", "swordfish"],
    ["passwd", 31337],
    ["client_secret", "swordfish"],
    ["apiKey", "swordfish"],
    ["x-api-key", "swordfish"],
    ["accessToken", "swordfish"],
    ["refresh_token", "swordfish"],
    ["auth_token", "swordfish"],
    ["private_key", "swordfish"],
    ["Authorization", "swordfish"],
    ["cookie", "swordfish"],
    ["set-cookie", "swordfish"],
    ["connection_string", "swordfish"],
    ["DB_PASSWORD", "swordfish"],
    ["GITHUB_TOKEN", "swordfish"],
    ["token", "abc123def456"],
  ])("takes out the value of the field %s", (key, value) => {
    const clean = redactor.json(JSON.stringify({ a: [{ [key]: value }], b: 1 })) ?? "";
    expect(clean).not.toContain(String(value));
    expect(JSON.parse(clean)).toEqual({
      a: [{ [key]: expect.stringMatching(/^\[redacted:/) }],
      b: 1,
    });
  });

  test("takes out values of named pairs, lists and argument lists", () => {
    const clean = redactor.json(
      JSON.stringify({
        env: [{ name: "DB_PASSWORD", value: "swordfish" }],
        authorization: ["swordfish"],
        argv: ["run", "--password", "swordfish", "--verbose"],
      }),
    );
    expect(clean).not.toBeNull();
    expect(clean).not.toContain("swordfish");
    expect(clean).toContain("--verbose");
  });

  test("keeps a field named __proto__ as data", () => {
    const clean = redactor.json('{"__proto__":{"password":"swordfish"},"a":1}') ?? "";
    expect(clean).toMatch(
      /^\{"__proto__":\{"password":"\[redacted:field:[0-9a-f]{4}\]"\},"a":1\}$/,
    );
  });

  test("lets nothing pass that is nested too deeply to be walked", () => {
    const deep = `${'{"a":'.repeat(2_000)}{"password":"swordfish"}${"}".repeat(2_000)}`;
    expect(redactor.json(deep)).not.toContain("swordfish");
  });

  test("redacts what is not JSON as text", () => {
    expect(redactor.json("password=hunter2 {")).toMatch(/^password=\[redacted:password:....\] \{$/);
  });

  test("lets no canary survive anywhere in any JSON", () => {
    const leaf = fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.constant(null));
    fc.assert(
      fc.property(
        fc.constantFrom(...CANARIES),
        fc.object({ key: fc.string(), values: [leaf], maxDepth: 3 }),
        fc.record({ before: fc.string(), after: fc.string(), depth: fc.nat(3) }),
        fc.constantFrom("value", "key", "list", "nested"),
        (canary, noise, around, place) => {
          const [, secret, inText = "@"] = canary;
          const line = inText.replace("@", () => secret);
          let text = `${around.before}\n${line}\n${around.after}`;
          // A tool's output that is itself JSON, and the log of that again.
          for (let i = 0; i < around.depth; i += 1) text = JSON.stringify({ out: text });
          const data = {
            ...noise,
            canary:
              place === "key"
                ? { [text]: 1 }
                : place === "list"
                  ? [noise, [text]]
                  : place === "nested"
                    ? { a: { b: text } }
                    : text,
          };
          const clean = redactor.json(JSON.stringify(data));
          expect(clean).not.toBeNull();
          // The longest run without characters that JSON escapes, however often.
          const core = secret.split(/["\\\n]/).reduce((a, b) => (b.length > a.length ? b : a));
          expect(clean).not.toContain(core);
          expect(() => JSON.parse(clean ?? "") as unknown).not.toThrow();
        },
      ),
      { numRuns: 1_000 },
    );
  });

  test("finds nothing in recorded sessions without secrets", () => {
    const sessions = join(import.meta.dir, "../fixtures/sessions");
    const files = ["cost-cc/hook-input.ndjson.gz", "transcript-20usd/transcript.jsonl.gz"];
    const packed = files.map((file) => gunzipSync(readFileSync(join(sessions, file))).toString());
    const plain = ["loop-cc", "healthy-cc", "scope-cc", "retry-cc"].map((dir) =>
      readFileSync(join(sessions, dir, "hook-input.ndjson"), "utf8"),
    );
    const lines = [...packed, ...plain].flatMap((text) => text.trim().split("\n"));
    expect(lines.length).toBeGreaterThan(1_000);
    expect(lines.map((line) => redactor.json(line)).filter((clean) => clean !== null)).toEqual([]);
  });

  test("says which rules made it", () => {
    expect(redactor.version).toBe(1);
  });
});
