// The editor of rules: CodeMirror in a shadow root, where its styles are adopted sheets. In the document the page's policy would
// refuse them. Loaded only where rules are edited. Colours are the page's custom properties, which reach into shadow roots.
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { yaml } from "@codemirror/lang-yaml";
import { HighlightStyle, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { lintGutter, setDiagnostics } from "@codemirror/lint";
import { unifiedMergeView } from "@codemirror/merge";
import { Compartment, EditorState } from "@codemirror/state";
import { drawSelection, EditorView, highlightActiveLine, highlightActiveLineGutter, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";

export interface Mark {
  line: number; // from 1
  text: string;
}
export interface Editor {
  text(): string;
  // As one change, which undo takes back.
  set(text: string): void;
  mark(marks: Mark[]): void;
  // Show what differs from another text, or only the text.
  compare(original: string | null): void;
  lock(locked: boolean): void;
  focus(): void;
  destroy(): void;
}

const look = EditorView.theme({
  "&": { color: "var(--text)", backgroundColor: "var(--sunken)", fontSize: "12.5px", maxHeight: "var(--editor-height, 60vh)", minHeight: "180px", borderRadius: "7px", border: "1px solid var(--line)" },
  "&.cm-focused": { outline: "2px solid var(--accent)", outlineOffset: "1px" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.55", overflow: "auto", borderRadius: "7px" },
  ".cm-content": { caretColor: "var(--text)", padding: "8px 0" },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  ".cm-gutters": { backgroundColor: "var(--sunken)", color: "var(--dim)", border: "none" },
  ".cm-activeLine": { backgroundColor: "color-mix(in srgb, var(--accent-soft) 45%, transparent)" },
  ".cm-activeLineGutter": { backgroundColor: "var(--accent-soft)", color: "var(--text)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "color-mix(in srgb, var(--accent) 28%, transparent)" },
  ".cm-lintRange-error": { backgroundImage: "none", textDecoration: "underline wavy var(--bad)", textUnderlineOffset: "3px" },
  ".cm-tooltip": { backgroundColor: "var(--raised)", color: "var(--text)", border: "1px solid var(--line)", borderRadius: "7px" },
  ".cm-diagnostic": { fontFamily: "var(--sans)", whiteSpace: "pre-wrap", maxWidth: "60ch" },
  ".cm-diagnostic-error": { borderLeft: "4px solid var(--bad)" },
  ".cm-changedLine": { backgroundColor: "color-mix(in srgb, var(--good) 14%, transparent)" },
  ".cm-changedText": { background: "color-mix(in srgb, var(--good) 26%, transparent)" },
  ".cm-deletedChunk": { backgroundColor: "color-mix(in srgb, var(--bad) 12%, transparent)" },
  ".cm-deletedText, .cm-deletedChunk .cm-deletedText": { background: "color-mix(in srgb, var(--bad) 26%, transparent)" },
  ".cm-changeGutter": { width: "3px", paddingLeft: "1px" },
  ".cm-changedLineGutter": { background: "var(--good)" },
  ".cm-deletedLineGutter": { background: "var(--bad)" },
  ".cm-collapsedLines": { background: "var(--raised)", color: "var(--dim)", padding: "4px 12px" },
});
const colours = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: "var(--c6)" },
  { tag: [tags.string, tags.content], color: "var(--text)" },
  { tag: [tags.number, tags.bool, tags.null, tags.keyword], color: "var(--c3)" },
  { tag: tags.comment, color: "var(--dim)", fontStyle: "italic" },
  { tag: [tags.punctuation, tags.separator, tags.squareBracket, tags.brace], color: "var(--dim)" },
]);

export function mountEditor(host: HTMLElement, given: { text: string; label: string; locked: boolean; onchange?: (text: string) => void }): Editor {
  const root = host.shadowRoot ?? host.attachShadow({ mode: "open" });
  const [access, comparison] = [new Compartment(), new Compartment()];
  // Locked, but still in reach of the keyboard.
  const locked = (is: boolean) => [EditorState.readOnly.of(is), EditorView.contentAttributes.of({ "aria-label": given.label, "aria-readonly": String(is), tabindex: "0" })];
  const against = (original: string | null) => (original === null ? [] : unifiedMergeView({ original, mergeControls: false, collapseUnchanged: { margin: 3, minSize: 8 } }));
  const view = new EditorView({
    parent: root,
    root,
    state: EditorState.create({
      doc: given.text,
      extensions: [
        lineNumbers(),
        lintGutter(),
        history(),
        drawSelection(),
        highlightActiveLine(),
        highlightActiveLineGutter(),
        indentUnit.of("  "),
        yaml(),
        syntaxHighlighting(colours),
        // Not Tab, which has to lead out of the editor.
        keymap.of([...defaultKeymap, ...historyKeymap]),
        // Browsers replace a selection by elements with style attributes, which the page's policy refuses.
        EditorView.domEventHandlers({
          beforeinput(event, view) {
            if (event.inputType !== "insertText" || event.isComposing || !event.data || view.state.readOnly || view.state.selection.main.empty) return false;
            event.preventDefault();
            view.dispatch({ ...view.state.replaceSelection(event.data), userEvent: "input.type", scrollIntoView: true });
            return true;
          },
        }),
        look,
        access.of(locked(given.locked)),
        comparison.of([]),
        EditorView.updateListener.of((update) => update.docChanged && given.onchange?.(update.state.doc.toString())),
      ],
    }),
  });
  return {
    text: () => view.state.doc.toString(),
    set: (text) => view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } }),
    mark(marks) {
      const diagnostics = marks.map(({ line, text }) => {
        const { from, to } = view.state.doc.line(Math.min(Math.max(1, line), view.state.doc.lines));
        return { from, to, severity: "error" as const, message: text };
      });
      view.dispatch(setDiagnostics(view.state, diagnostics));
    },
    compare: (original) => view.dispatch({ effects: comparison.reconfigure(against(original)) }),
    lock: (is) => view.dispatch({ effects: access.reconfigure(locked(is)) }),
    focus: () => view.focus(),
    destroy: () => view.destroy(),
  };
}
