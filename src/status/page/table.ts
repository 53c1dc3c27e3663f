// SPDX-License-Identifier: Apache-2.0
// A table that becomes a list on a narrow screen, where each cell then says its column. To a browser the rows are no
// table any more there: so the roles stand beside the elements.
import { html } from "hono/html";
import type { Markup } from "./words.ts";

export interface Column {
  readonly name: string;
  /** On a narrow screen; the name where it is not another one. */
  readonly short?: string;
  readonly isNumber?: boolean;
}

export interface Row {
  /** By which the page's script knows it again. */
  readonly id?: string;
  /** The first one names the row. */
  readonly cells: readonly (Markup | string)[];
}

/** Nothing between two rows: the page's script would take a row away to match the space after it. */
export function tableOf(caption: string, columns: readonly Column[], rows: readonly Row[]): Markup {
  return html`<table role="table" class="rows"><caption>${caption}</caption>
<thead role="rowgroup"><tr role="row">${columns.map(
    ({ name, isNumber }) => html`<th role="columnheader" scope="col"${numeric(isNumber)}>${name}</th>`,
  )}</tr></thead>
<tbody role="rowgroup">${rows.map((row) => rowOf(row, columns))}</tbody></table>`;
}

function rowOf({ id, cells: [head = "", ...cells] }: Row, [, ...columns]: readonly Column[]): Markup {
  return html`<tr role="row"${id === undefined ? "" : html` id="${id}"`}><th role="rowheader" scope="row">${head}</th>${cells.map(
    (cell, index) => {
      const { name = "", short = name, isNumber } = columns[index] ?? {};
      return html`<td role="cell" data-name="${short}"${numeric(isNumber)}>${cell}</td>`;
    },
  )}</tr>`;
}

function numeric(isNumber: boolean | undefined): Markup | string {
  return isNumber === true ? html` class="number"` : "";
}
