// Runs a command on a pseudo-terminal, step by step, with Python's pty module: Bun has none that a test can hold.

const DRIVER = `
import fcntl, json, os, pty, select, struct, sys, termios, time
spec = json.loads(sys.argv[1])
pid, fd = pty.fork()
if pid == 0:
    os.execvp(spec["command"][0], spec["command"])
def resize(rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
resize(24, 80)
out = b""
def pump(seconds):
    global out
    if not select.select([fd], [], [], seconds)[0]:
        return True
    try:
        data = os.read(fd, 65536)
    except OSError:
        return False
    out += data
    return data != b""
def until(wanted):
    end = time.time() + 40
    while wanted.encode() not in out:
        if time.time() > end or not pump(0.1):
            sys.stderr.write("never saw " + wanted + " in " + repr(out))
            os.kill(pid, 9)
            sys.exit(1)
for kind, *values in spec["steps"]:
    if kind == "expect": until(values[0])
    if kind == "send": os.write(fd, values[0].encode())
    if kind == "resize": resize(*values)
    if kind == "signal": os.kill(pid, values[0])
    if kind == "wait":
        end = time.time() + values[0] / 1000
        while time.time() < end and pump(0.02): pass
end = time.time() + 40
ended = (0, 0)
while pump(0.05):
    ended = os.waitpid(pid, os.WNOHANG)
    if ended[0] != 0: break
    if time.time() > end: os.kill(pid, 9)
while pump(0.05) and select.select([fd], [], [], 0)[0]: pass
if ended[0] == 0: ended = os.waitpid(pid, 0)
sys.stdout.write(json.dumps({"out": out.decode("utf8", "replace"), "status": os.waitstatus_to_exitcode(ended[1])}))
`;

export type PtyStep =
  | ["expect", string]
  | ["send", string]
  | ["resize", rows: number, columns: number]
  | ["signal", number: number]
  | ["wait", milliseconds: number];

/** Prints the reason where there is none. */
export function hasPty(): boolean {
  const found = Bun.which("python3") !== null;
  if (!found) console.log("skipped: a pseudo-terminal needs python3");
  return found;
}

/** All that was printed, and the exit status; negative for a death by signal. Throws when a step fails. */
export async function onPty(
  command: string[],
  options: { steps: PtyStep[]; cwd: string; env: Record<string, string> },
): Promise<{ out: string; status: number }> {
  const { steps, cwd, env } = options;
  const child = Bun.spawn(["python3", "-c", DRIVER, JSON.stringify({ command, steps })], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    cwd,
    env,
  });
  const [out, problem] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  if ((await child.exited) !== 0) throw new Error(problem);
  return JSON.parse(out) as { out: string; status: number };
}
