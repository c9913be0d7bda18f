// `observer doctor`: what works on this host, what does not, and what mends it.

import { BUILD_INFO } from "../../core/build-info.ts";
import { messageOf, ObserverError } from "../../core/errors.ts";
import { printable } from "../../core/text.ts";
import { ApiError, NoDaemonError, type Client, type Json } from "../client.ts";
import { type Check, type DaemonAnswer, type Diagnosis, diagnose } from "../doctor-checks.ts";
import { CLIENT_FLAGS, JSON_FLAG } from "../flags.ts";
import { paintOf, printJson } from "../output.ts";
import { statusColour } from "../paint.ts";
import type { Call, Verb } from "../verb.ts";

const EXIT: Record<Diagnosis["state"], number> = { healthy: 0, degraded: 1, broken: 2 };

export const doctorVerb: Verb = {
  name: "doctor",
  group: "Set up",
  summary: "what works on this host, what does not, and what mends it",
  about:
    "Exit status: 0 healthy, 1 degraded (also when no daemon answers), 2 broken: observer cannot do its work.",
  flags: [JSON_FLAG, ...CLIENT_FLAGS],
  examples: ["observer doctor", "sudo observer doctor --json"],
  async run(call) {
    const daemon = await askDaemon(call);
    const local = call.local.inspectHost(call.flags.text("data"));
    const capabilities = await capabilitiesOf(call, daemon);
    const { version } = BUILD_INFO;
    const diagnosis = diagnose(daemon, { local, capabilities, version });
    if (call.flags.on("json")) printJson(call, diagnosis);
    else call.io.stdout(describe(call, diagnosis));
    return EXIT[diagnosis.state];
  },
};

async function askDaemon(call: Call): Promise<DaemonAnswer> {
  let client: Client | null = null;
  try {
    client = call.client();
    const { target } = client;
    const [version, ready, vram] = await Promise.all([
      client.get("/version"),
      client.get("/readyz", { accept: [503] }),
      client.get("/vram"),
    ]);
    return { target, trouble: null, message: "", facts: { version, ready, vram } };
  } catch (thrown) {
    const target = client?.target ?? "";
    const answer = { target, message: messageOf(thrown), facts: null };
    if (thrown instanceof NoDaemonError) return { ...answer, trouble: "absent" };
    if (thrown instanceof ApiError) return { ...answer, trouble: "refused" };
    if (thrown instanceof ObserverError) return { ...answer, trouble: "foreign" };
    throw thrown;
  }
}

/** The daemon's, which are what counts; without them those of this user. */
async function capabilitiesOf(call: Call, daemon: DaemonAnswer): Promise<Json[]> {
  if (daemon.facts) return (await call.client().list("/capabilities")).items;
  const found = await call.local.tryCapabilities(call.flags.text("data"));
  return found.map((capability) => ({ ...capability }));
}

const SUMMARY: Record<Diagnosis["state"], string> = {
  healthy: "healthy",
  degraded: "degraded: it works, without what is named above",
  broken: "broken: it cannot do its work until this is mended",
};

function describe(call: Call, { state, checks }: Diagnosis): string {
  const paint = paintOf(call);
  const longest = Math.max(...checks.map(({ name }) => name.length));
  const lines = checks.flatMap((check: Check) => {
    const colour = statusColour(check.state) ?? "bold";
    const shown = paint(colour, check.state.padEnd("degraded".length));
    const indent = " ".repeat(longest + "degraded".length + 4);
    return [
      `${printable(check.name).padEnd(longest)}  ${shown}  ${printable(check.reason)}`,
      ...(check.state !== "ok" && check.purpose
        ? [`${indent}use ${printable(check.purpose)}`]
        : []),
      ...(check.fix === undefined
        ? []
        : [`${indent}${paint("bold", "fix")} ${printable(check.fix)}`]),
    ];
  });
  return `${lines.join("\n")}\n\n${SUMMARY[state]}\n`;
}
