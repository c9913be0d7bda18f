// Secrets that are known by their own shape: one row for each format that an issuer uses today.

export interface TokenRule {
  /** Shown in the marker that takes the secret's place. */
  name: string;
  /** Global. Group `secret`, where there is one, is the secret; else the whole match is. Quantifiers are bounded. */
  pattern: RegExp;
  /** What a text must contain for the rule to be tried: the source of a cheap, case-sensitive expression. */
  anchor: string;
  /** True where the anchor would slow the alternation of all anchors down; it is then tried by itself. */
  apart?: boolean;
  /** A second look at what matched, for shapes that ordinary words can have. */
  looksRight?: (secret: string) => boolean;
}

// A token starts where a word starts, or behind an escape (`\n`, `%3D`) whose last letter belongs to no word.
const START = "(?:(?<![A-Za-z0-9])|(?<=\\\\[bfnrt])|(?<=%[0-9A-Fa-f]{2}))";

/** `prefix` and then characters of a class: the form of most vendors' tokens. */
function prefixed(
  name: string,
  prefix: string,
  body: string,
  options: { anywhere?: boolean; anchor?: string; looksRight?: TokenRule["looksRight"] } = {},
): TokenRule {
  const start = options.anywhere === true ? "" : START;
  return {
    name,
    pattern: new RegExp(`${start}${prefix}${body}`, "g"),
    anchor: options.anchor ?? prefix,
    ...(options.looksRight ? { looksRight: options.looksRight } : {}),
  };
}

// The same, where the token's own alphabet has `-` and `_`: repeated prefixes must not each start a long scan.
const STRICT_START = "(?:(?<![\\w-])|(?<=\\\\[bfnrt])|(?<=%[0-9A-Fa-f]{2}))";

const hasDigit = (text: string): boolean => /\d/.test(text);
const isMixed = (text: string): boolean => /\d/.test(text) && /[A-Za-z]/.test(text);
const isLiteral = (text: string): boolean => !PLACEHOLDER.test(text);

/** What stands where a secret would be: a variable, a template, a mask, or a marker of ours. */
export const PLACEHOLDER =
  /^(?:\$[A-Z_][A-Z0-9_]*|\$\d|\$?\{.*\}|\$\(.*|<[^<>]*>|%[a-z]|%\(.*|%[A-Z_]+%|[*•]+|x{3,}|\.{2,}…?|…|-+|(?:\[redacted:[a-z0-9-]+:[0-9a-f]{4}\])+)$/;

/** Longest body of a token, in characters: the longest in use (OIDC, cloud sessions with group lists) reach 10,000. */
const LONG = 16_384;

/**
 * Longest of private keys: RSA 16384 in PEM is about 13 kB, and twice that when escaped. The end line may be
 * missing in text that was cut.
 */
const PEM_BODY = "(?:(?!-----BEGIN)[A-Za-z0-9+/=\\s\\\\:,.()-]){0,32768}?";

export const TOKEN_RULES: TokenRule[] = [
  {
    name: "private-key",
    pattern: new RegExp(
      `-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:${PEM_BODY}-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|[A-Za-z0-9+/=\\s\\\\]{0,32768})`,
      "g",
    ),
    anchor: "-----BEGIN ",
  },
  prefixed("age-key", "AGE-SECRET-KEY-", "1[0-9A-Z]{20,100}", { anywhere: true }),
  prefixed("anthropic", "sk-ant-", `[\\w-]{16,${LONG}}`, { anywhere: true }),
  prefixed("openai", "sk-(?:proj|svcacct|admin|None)-", `[\\w-]{16,${LONG}}`, { anywhere: true }),
  prefixed("openrouter", "sk-or-", "[\\w-]{16,200}", { anywhere: true }),
  prefixed("secret-key", "sk-", "[\\w-]{20,200}", { looksRight: isMixed, anchor: "sk-[\\w-]{16}" }),
  prefixed("google-api-key", "AIza", "[\\w-]{35}", { anywhere: true }),
  prefixed("google-oauth", "ya29\\.", "[\\w.-]{20,2048}"),
  prefixed("google-oauth", "GOCSPX-", "[\\w-]{20,64}", { anywhere: true }),
  prefixed("google-refresh", "1//0", "[\\w-]{30,256}"),
  prefixed("aws-key-id", "(?:AKIA|ASIA)", "[A-Z0-9]{16}(?![A-Za-z0-9])", { anchor: "A[KS]IA" }),
  prefixed("aws-bedrock", "ABSK", "[A-Za-z0-9+/=]{80,400}"),
  prefixed("github", "gh[pousr]_", "[A-Za-z0-9]{36,255}", { anywhere: true }),
  prefixed("github", "github_pat_", "[A-Za-z0-9_]{22,255}", { anywhere: true }),
  prefixed("gitlab", "gl(?:pat|ptt|dt|rt|cbt|soat|agent|imt|ft|oas)-", "[\\w.-]{20,300}", {
    anchor: "gl[a-z]{2,5}-[\\w.-]{20}",
  }),
  prefixed("slack", "xox[abeoprs]-", "[A-Za-z0-9-]{10,400}", { anywhere: true }),
  prefixed("slack", "xapp-", "\\d-[A-Za-z0-9-]{10,400}", { anywhere: true }),
  {
    name: "slack-webhook",
    pattern:
      /hooks\.slack\.com\\{0,64}\/(?:services|workflows|triggers)\\{0,64}\/(?<secret>[\w/\\-]{20,400})/g,
    anchor: "hooks\\.slack\\.com",
  },
  {
    name: "discord-webhook",
    pattern: /\/api\\{0,64}\/webhooks\\{0,64}\/\d{10,25}\\{0,64}\/(?<secret>[\w-]{40,100})/g,
    anchor: "api\\\\{0,64}/webhooks",
  },
  {
    name: "discord",
    apart: true,
    pattern: new RegExp(`${START}[MNO][\\w-]{23,27}\\.[\\w-]{6}\\.[\\w-]{27,45}`, "g"),
    anchor: "[\\w-]{8}\\.[\\w-]{6}\\.[\\w-]{27}",
  },
  {
    name: "telegram",
    apart: true,
    pattern: /(?<!\d)\d{8,12}:AA[\w-]{32,36}/g,
    anchor: "\\d:AA[\\w-]{32}",
  },
  prefixed("stripe", "[sr]k_(?:live|test)_", "[A-Za-z0-9]{10,255}", {
    anywhere: true,
    anchor: "k_(?:live|test)_",
  }),
  prefixed("stripe", "whsec_", "[A-Za-z0-9+/=]{16,128}", { anywhere: true }),
  prefixed("npm", "npm_", "[A-Za-z0-9]{36,64}", { anywhere: true, anchor: "npm_[A-Za-z0-9]{36}" }),
  prefixed("pypi", "pypi-", "[\\w-]{50,400}", { anywhere: true, anchor: "pypi-[\\w-]{50}" }),
  prefixed("hugging-face", "hf_", "[A-Za-z0-9]{30,64}"),
  prefixed("sendgrid", "SG\\.", "[\\w-]{16,32}\\.[\\w-]{32,64}", { anchor: "SG\\.[\\w-]{16}" }),
  prefixed("mailgun", "key-", "[0-9a-f]{32}(?![0-9a-f])", { anchor: "key-[0-9a-f]{32}" }),
  prefixed("twilio", "SK", "[0-9a-f]{32}(?![0-9A-Za-z])", { anchor: "SK[0-9a-f]{32}" }),
  prefixed("digitalocean", "do[opr]_v1_", "[0-9a-f]{64}", { anywhere: true }),
  prefixed("shopify", "shp(?:at|ca|pa|ss)_", "[0-9A-Fa-f]{32}", { anywhere: true }),
  prefixed("square", "sq0(?:atp|csp|idp)-", "[\\w-]{22,64}", { anywhere: true }),
  prefixed("groq", "gsk_", "[A-Za-z0-9]{40,80}"),
  prefixed("xai", "xai-", "[A-Za-z0-9]{60,120}"),
  prefixed("replicate", "r8_", "[A-Za-z0-9]{37,45}"),
  prefixed("perplexity", "pplx-", "[A-Za-z0-9]{40,80}"),
  prefixed("nvidia", "nvapi-", "[\\w-]{40,100}"),
  prefixed("linear", "lin_(?:api|oauth)_", "[A-Za-z0-9]{32,80}", { anywhere: true }),
  prefixed("notion", "ntn_", "[A-Za-z0-9]{40,60}"),
  prefixed("atlassian", "AT[AC]TT3", "[\\w=-]{60,400}", { anywhere: true }),
  prefixed("docker", "dckr_(?:pat|oat)_", "[\\w-]{24,64}", { anywhere: true }),
  prefixed("vault", "hv[sbr]\\.", "[\\w-]{24,400}"),
  prefixed("grafana", "gl(?:sa|c)_", "[A-Za-z0-9+/=_]{32,400}"),
  prefixed("supabase", "sb(?:p|_secret)_", "[\\w-]{20,80}", { looksRight: hasDigit }),
  prefixed("sentry", "sntry[su]_", "[A-Za-z0-9+/=_-]{40,400}", { anywhere: true }),
  prefixed("figma", "figd_", "[\\w-]{30,80}"),
  prefixed("postman", "PMAK-", "[0-9a-f-]{50,80}", { anywhere: true }),
  {
    name: "jwt",
    pattern: new RegExp(
      `${STRICT_START}eyJ[\\w-]{8,${LONG}}\\.[\\w-]{8,${LONG}}\\.[\\w-]{8,${LONG}}`,
      "g",
    ),
    anchor: "eyJ[\\w-]{8}",
  },
  {
    name: "azure-key",
    pattern:
      /(?:Account|SharedAccess)Key\\*["']?\s?[=:]\s?\\*["']?(?<secret>[A-Za-z0-9+/]{32,128}={0,2})/g,
    anchor: "(?:Account|SharedAccess)Key",
  },
  {
    name: "signed-url",
    pattern:
      /[?&](?:amp;)?(?:sig|X-Amz-Signature|X-Amz-Security-Token|X-Goog-Signature)=(?<secret>[A-Za-z0-9%+/=_-]{16,4096})/g,
    anchor: "[?&;](?:sig|X-Amz-S|X-Goog-S)",
  },
  {
    name: "url-password",
    apart: true,
    // Up to the last @ before the path: passwords may hold an @, never a bare slash.
    pattern:
      /:(?:\\{0,64}\/){2}[^\s/:@"'`<>\\[]{0,256}:(?<secret>[^\s/"'`<>\\]{1,512})@(?=[A-Za-z0-9[{$.%-])/g,
    anchor: "/[^\\s/:@\"'`<>]{0,256}:[^\\s/\"'`<>]{1,512}@",
    looksRight: isLiteral,
  },
  {
    name: "url-token",
    apart: true,
    pattern: /:(?:\\{0,64}\/){2}(?<secret>[\w.~%-]{20,512})@(?=[A-Za-z0-9[])/g,
    anchor: "/[\\w.~%-]{20,512}@",
    looksRight: isMixed,
  },
  {
    name: "curl-user",
    apart: true,
    pattern:
      /(?:\b|(?<=\\[nrt]))(?:curl|wget|http|https)(?=\s)[^\n]{0,300}?\s(?:-u|--user)[ =]?\\{0,64}["']?[^\s:"'\\]{1,128}:(?<secret>[^\s"'\\]{1,256})/g,
    anchor: " (?:-u|--user)[ =]?\\\\{0,64}[\"']?[^\\s:\"'\\\\]{1,128}:",
    looksRight: isLiteral,
  },
  {
    name: "bearer",
    pattern: /(?:\b|(?<=\\[nrt]))bearer(?:\s|%20|\+){1,4}(?<secret>[\w.~+/=-]{12,4096})/gi,
    anchor: "[Bb][Ee][Aa][Rr][Ee][Rr]",
    looksRight: hasDigit,
  },
];

/** A 40-character AWS secret has no shape of its own; beside a key id it is taken for one. */
export const AWS_SECRET = /(?<![A-Za-z0-9+/=])[A-Za-z0-9+/]{40}(?![A-Za-z0-9+/=])/g;

const sources = (rules: TokenRule[]): string[] => [...new Set(rules.map((rule) => rule.anchor))];
const TOGETHER = new RegExp(sources(TOKEN_RULES.filter((rule) => rule.apart !== true)).join("|"));
const APART = TOKEN_RULES.filter((rule) => rule.apart === true && !rule.anchor.endsWith("@")).map(
  (rule) => new RegExp(rule.anchor),
);
const WITH_AT = new RegExp(
  sources(TOKEN_RULES.filter((rule) => rule.anchor.endsWith("@"))).join("|"),
);

/** Cheap test of whether a text, raw or serialised as JSON, can have any of these tokens: 1.5 µs for 400 bytes. */
export function mayHoldToken(text: string): boolean {
  if (TOGETHER.test(text)) return true;
  for (const pattern of APART) if (pattern.test(text)) return true;
  return text.includes("@") && WITH_AT.test(text);
}
