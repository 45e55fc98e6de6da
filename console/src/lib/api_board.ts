/** The board of cases as the cloud gives it. */
import { ask, query, type Case } from './api';

export type Card = Case & { photos: string[]; extensions: number };
export type Board = { columns: { state: string; count: number; items: Card[] }[]; extended: number; reworked: number };
export type BoardFilter = { department?: string; district?: string; assignee?: string };

export const boardApi = {
  board: (filter: BoardFilter) => ask<Board>(`/api/board${query(filter)}`),
};
