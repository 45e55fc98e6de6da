import type { Role, RoleWord } from '../lib/api_admin';

/** The key of a role's word; a department as a role is not a department as an office. */
export const roleWord = (role: RoleWord) => (role === 'department' ? 'role.department_' : `role.${role}`) as 'role.department_' | `role.${Exclude<RoleWord, 'department'>}`;

/** Where a role holds, in one line. */
export const reachOf = (role: Role, everywhere: string) => [role.district || everywhere, role.department].filter((part) => part !== '').join(' · ');

/** A form's rows as the API takes them: the administrator's role has no district. */
export const tidy = (roles: readonly Role[]): Role[] =>
  roles.map(({ role, district, department }) => (role === 'admin' ? { role, district: '', department: '' } : { role, district: district.trim(), department: department.trim() }));
