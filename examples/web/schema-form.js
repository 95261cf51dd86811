/**
 * Turns a source template's connection specification (a JSON Schema) into form fields.
 *
 * Nothing is checked here: Airbyte knows what is right, and says at which field it is not. Checking twice would mean
 * two sets of rules and two sets of messages.
 *
 * @module
 */

/** @import { FieldError } from "./airbyte-embedded.js" */

/**
 * The part of a JSON Schema that is looked at. `airbyte_secret` is Airbyte's own.
 *
 * @typedef {object} Schema
 * @property {string} [type]
 * @property {string} [title]
 * @property {string} [description]
 * @property {Record<string, Schema>} [properties]
 * @property {string[]} [required]
 * @property {unknown[]} [enum]
 * @property {unknown} [default]
 * @property {number} [order]
 * @property {boolean} [airbyte_secret]
 */

/**
 * @typedef {object} Field
 * @property {string} pointer  Where its value is in the request's body.
 * @property {string} label
 * @property {HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement} control
 * @property {HTMLElement} error
 */

/**
 * Fills `container` with the schema's fields.
 *
 * @param {HTMLElement} container
 * @param {Schema} schema
 * @param {string} pointer  Where the configuration is in the request's body.
 */
export function schemaForm(container, schema, pointer) {
  /** @type {Field[]} */
  const fields = [];
  const { nodes, read } = objectFields(schema, pointer, fields);
  container.replaceChildren(...nodes);

  return {
    /** The configuration as filled in. What was left empty is left out. */
    read: () => read() ?? {},

    /**
     * Shows each error at its field, in place of those shown before.
     *
     * @param {FieldError[]} errors
     * @returns {(FieldError & { field?: Field })[]} The errors, each with the field it was shown at if there is one.
     */
    showErrors(errors) {
      for (const { control, error } of fields) {
        control.removeAttribute("aria-invalid");
        error.textContent = "";
      }
      return errors.map((fieldError) => {
        const field = fields.find((candidate) => isWithin(fieldError.pointer, candidate.pointer));
        if (!field) return fieldError;
        field.control.setAttribute("aria-invalid", "true");
        field.error.textContent = [field.error.textContent, fieldError.detail].filter(Boolean).join(" ");
        return { ...fieldError, field };
      });
    },
  };
}

/**
 * @param {Schema} schema
 * @param {string} pointer
 * @param {Field[]} fields  Gets the fields made here.
 * @returns {{ nodes: Node[], read: () => Record<string, unknown> | undefined }}
 */
function objectFields(schema, pointer, fields) {
  const properties = Object.entries(schema.properties ?? {}).sort(([, a], [, b]) => (a.order ?? 0) - (b.order ?? 0));
  const children = properties.map(([name, property]) => {
    const required = schema.required?.includes(name) ?? false;
    const at = `${pointer}/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;
    const label = property.title ?? name;
    if (property.type !== "object" || !property.properties) return { name, ...valueField(property, label, required, at, fields) };

    const { nodes, read } = objectFields(property, at, fields);
    const legend = element("legend", { textContent: label });
    return { name, node: element("fieldset", {}, legend, ...nodes), read };
  });

  return {
    nodes: children.map(({ node }) => node),
    read() {
      const filledIn = children.map(({ name, read }) => [name, read()]).filter(([, value]) => value !== undefined);
      return filledIn.length > 0 ? Object.fromEntries(filledIn) : undefined;
    },
  };
}

/**
 * @param {Schema} schema
 * @param {string} label
 * @param {boolean} required
 * @param {string} pointer
 * @param {Field[]} fields
 */
function valueField(schema, label, required, pointer, fields) {
  const { control, read } = valueControl(schema);
  control.id = `field-${fields.length}`;
  control.name = pointer;
  control.setAttribute("aria-required", String(required));

  const hint = element("p", { id: `${control.id}-hint`, className: "hint", textContent: schema.description ?? "" });
  const error = element("p", { id: `${control.id}-error`, className: "field-error" });
  control.setAttribute("aria-describedby", `${hint.id} ${error.id}`);
  fields.push({ pointer, label, control, error });

  const text = element("label", { htmlFor: control.id, textContent: label });
  const isCheckbox = control.type === "checkbox";
  if (!required && !isCheckbox) text.append(element("span", { className: "optional", textContent: " (optional)" }));
  return { node: element("div", { className: isCheckbox ? "field check" : "field" }, text, hint, control, error), read };
}

/**
 * The control that suits the schema, and how to read its value (undefined where nothing was entered).
 *
 * @param {Schema} schema
 */
function valueControl(schema) {
  if (schema.enum) {
    const choices = schema.enum;
    const options = choices.map((value, index) =>
      element("option", { value: String(index), textContent: String(value), defaultSelected: value === schema.default }),
    );
    const control = element("select", {}, element("option", { value: "" }), ...options);
    return { control, read: () => (control.value === "" ? undefined : choices[Number(control.value)]) };
  }

  if (schema.type === "boolean") {
    const control = element("input", { type: "checkbox", defaultChecked: schema.default === true });
    return { control, read: () => control.checked };
  }

  if (schema.type === "string" || schema.type === "integer" || schema.type === "number") {
    const control = element("input", {
      type: schema.airbyte_secret ? "password" : "text",
      inputMode: { string: "text", integer: "numeric", number: "decimal" }[schema.type],
      // These are the data source's credentials, not the user's own for this site: keep the password manager out.
      autocomplete: schema.airbyte_secret ? "new-password" : "off",
      autocapitalize: "none",
      spellcheck: false,
      defaultValue: schema.default === undefined ? "" : String(schema.default),
    });
    const convert = schema.type === "string" ? (/** @type {string} */ text) => text : toNumber;
    return { control, read: () => (control.value === "" ? undefined : convert(control.value)) };
  }

  // Lists, alternatives and the like are entered as JSON. Knowing your templates, you can do better.
  const control = element("textarea", {
    rows: 4,
    spellcheck: false,
    defaultValue: schema.default === undefined ? "" : JSON.stringify(schema.default, null, 2),
  });
  return { control, read: () => (control.value.trim() === "" ? undefined : toJson(control.value)) };
}

/**
 * The number, unless the text means none or one that a double would change: then the text, which Airbyte refuses with
 * a message at the field.
 *
 * @param {string} text
 */
function toNumber(text) {
  const number = Number(text);
  const isExact = Number.isFinite(number) && (!Number.isInteger(number) || Number.isSafeInteger(number));
  return isExact && text.trim() !== "" ? number : text;
}

/** @param {string} text */
function toJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/**
 * @param {string} pointer
 * @param {string} ancestor
 */
function isWithin(pointer, ancestor) {
  return pointer === ancestor || pointer.startsWith(`${ancestor}/`);
}

/**
 * Text goes in as `textContent`, never as HTML: labels, hints and errors come from elsewhere.
 *
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {Record<string, unknown>} properties
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[Name]}
 */
export function element(name, properties, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
}
