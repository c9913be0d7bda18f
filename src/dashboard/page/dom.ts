// Builds elements. Text only ever becomes text nodes, so nothing that an agent wrote can become markup.

import { printable } from "../../core/text.ts";

export type Child = Node | string | number | null | undefined | false;

interface Props {
  class?: string | undefined;
  /** Attributes as they are written in HTML. */
  attrs?: Record<string, string | number | boolean | null | undefined>;
  on?: { [Type in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[Type]) => void };
}

/** An HTML element. */
export function h<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  props: Props = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  if (props.class) element.className = props.class;
  setAttributes(element, props.attrs ?? {});
  for (const [type, listener] of Object.entries(props.on ?? {})) {
    element.addEventListener(type, listener as EventListener);
  }
  append(element, children);
  return element;
}

/** An SVG element. */
export function svg(
  tag: string,
  attrs: NonNullable<Props["attrs"]>,
  ...children: Child[]
): SVGElement {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  setAttributes(element, attrs);
  append(element, children);
  return element;
}

function setAttributes(element: Element, attrs: NonNullable<Props["attrs"]>): void {
  for (const [name, value] of Object.entries(attrs)) {
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
}

function append(parent: Node, children: readonly Child[]): void {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    parent.appendChild(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** Puts `children` in the place of everything in `parent`. */
export function fill(parent: Element, ...children: Child[]): void {
  parent.replaceChildren();
  append(parent, children);
}

/** Text from an agent as one line: control and direction characters visible, isolated from its neighbours. */
export function said(text: string | null | undefined, className?: string): HTMLElement {
  return h("bdi", { class: className }, printable(text ?? ""));
}

/** A path or an id. */
export function code(text: string | null | undefined, className = ""): HTMLElement {
  return h("code", { class: className }, printable(text ?? ""));
}

/** A command to run, with a button that copies it where the browser lets us. */
export function command(text: string): HTMLElement {
  const button = h("button", { class: "quiet", attrs: { type: "button" } }, "Copy");
  button.addEventListener("click", () => {
    void navigator.clipboard.writeText(text).then(() => {
      button.textContent = "Copied";
    });
  });
  // Only pages of this machine or over TLS may write to the clipboard.
  return h("div", { class: "command" }, h("code", {}, text), window.isSecureContext && button);
}

/** A button with a label. */
export function action(
  label: string,
  run: () => void,
  options: { class?: string; title?: string } = {},
): HTMLButtonElement {
  return h(
    "button",
    { class: options.class, attrs: { type: "button", title: options.title }, on: { click: run } },
    label,
  );
}
