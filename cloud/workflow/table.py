"""The workflow as a table: one row is (state, step) -> state, who may, what it needs, what must hold, clocks, who is told.

A pair that is not here is refused. The rows follow the state table of city management by GB/T 30428.8 as far as it is public
(see `cloud.workflow.states`); what that table leaves open is decided here:

* a hold and a rework lead to `dispatched`: the department is the same, and it assigns anew;
* the handling limit goes on with what is left after a rework or a hold, and begins again when a closed case is reopened;
* a check passes when a collector saw the work done, or the device itself says that the fault is gone; where its word is
  enough, nobody is sent to check at all;
* a task to verify or check that nobody answers can be recalled;
* whoever gets a case back cannot jump over the stage that returned it: no row leads from there past it, and the system
  (an automatic policy) may not send a returned case on at all.
"""

from collections.abc import Mapping
from typing import Final

from cloud.workflow.states import Clock, Role, State, Step
from cloud.workflow.terms import Does, Guard, Need, Row, Told, Turn

__all__ = ["OPENING", "ROWS", "TABLE"]

_GROUPS: Final[Mapping[str, frozenset[Role]]] = {
    "desk": frozenset({Role.OPERATOR, Role.SHIFT_LEAD}),
    "leads": frozenset({Role.SHIFT_LEAD, Role.SUPERVISOR}),
    "reporters": frozenset({Role.COLLECTOR, Role.OPERATOR, Role.SYSTEM}),
    "senders": frozenset({Role.DISPATCHER, Role.SHIFT_LEAD, Role.SYSTEM}),
    "makers": frozenset({Role.CREW, Role.DEPARTMENT}),
}

_TEXT: Final = """
state             | step            | then              | who may           | needs           | guards                                         | clocks                        | tells
-                 | report          | reported          | reporters         | note            |                                                | starts accept                 | operator

reported          | verify          | verifying         | desk              | assignee        |                                                | stops accept, starts verify   | assignee
verifying         | found           | reported          | collector         | note photo      | own_task                                       | stops verify, resumes accept  | operator
verifying         | not_found       | reported          | collector         | note photo      | own_task                                       | stops verify, resumes accept  | operator
verifying         | recall          | reported          | desk              | reason          |                                                | stops verify, resumes accept  | assignee
reported          | void            | void              | desk              | reason          |                                                | stops accept                  | reporter
reported          | file            | filed             | desk system       | standard        | a_person_after_a_return                        | stops accept, starts dispatch | dispatcher reporter

filed             | dispatch        | dispatched        | senders           | department      | a_person_after_a_return                        | stops dispatch, starts handle | department
filed             | return          | reported          | dispatcher        | reason          |                                                | stops dispatch, starts accept | operator

dispatched        | assign          | handling          | department system | assignee        | a_person_after_a_return                        |                               | assignee
dispatched        | return          | filed             | department        | reason          |                                                | stops handle, starts dispatch | dispatcher
handling          | assign          | handling          | department system | assignee        |                                                |                               | assignee
handling          | revoke          | dispatched        | department        | reason          |                                                |                               | assignee
handling          | return          | dispatched        | makers            | reason          | revoke_first                                   |                               | department
handling          | take            | handling          | makers            |                 | own_task                                       |                               |
handling          | arrive          | handling          | makers            | position        | own_task                                       |                               |
handling          | call_help       | handling          | makers            | note            | own_task                                       |                               | department
handling          | submit          | department_review | makers            | note photo      | own_task                                       |                               | department
department_review | rework          | handling          | department        | reason          |                                                |                               | assignee
department_review | confirm         | feedback          | department        | note            |                                                | stops handle                  | operator

feedback          | rework          | dispatched        | desk dispatcher   | reason          |                                                | resumes handle                | department
feedback          | check           | checking          | desk              | assignee        |                                                | starts check                  | assignee
feedback          | pass            | closed            | operator leads system | standard    | device_clear                                   |                               | reporter department
checking          | checked         | checking          | collector         | note photo      | own_task                                       | stops check                   | operator
checking          | recall          | feedback          | desk              | reason          |                                                | stops check                   | assignee
checking          | fail            | dispatched        | collector desk    | reason          | own_task                                       | stops check, resumes handle   | department operator
checking          | pass            | closed            | operator leads    | standard        | seen_done device_agrees                        | stops check                   | reporter department
checking          | override        | closed            | supervisor        | reason standard |                                                | stops check                   | reporter department inspector
closed            | reopen          | dispatched        | leads system      | reason          | reopen_in_time                                 | starts handle                 | department operator reporter

dispatched        | ask_extension   | dispatched        | department        | reason          | nothing_asked extension_left                   |                               | shift_lead
handling          | ask_extension   | handling          | department        | reason          | nothing_asked extension_left                   |                               | shift_lead
dispatched        | grant_extension | dispatched        | leads             | note            | extension_asked not_ones_own                   | extends handle                | department
handling          | grant_extension | handling          | leads             | note            | extension_asked not_ones_own                   | extends handle                | department assignee
department_review | grant_extension | department_review | leads             | note            | extension_asked not_ones_own                   | extends handle                | department
dispatched        | ask_hold        | dispatched        | department        | reason until    | nothing_asked hold_left hold_short_enough      |                               | shift_lead
handling          | ask_hold        | handling          | department        | reason until    | nothing_asked hold_left hold_short_enough      |                               | shift_lead
dispatched        | grant_hold      | hold              | leads             | note until      | hold_asked not_ones_own hold_short_enough      | pauses handle                 | department reporter
handling          | grant_hold      | hold              | leads             | note until      | hold_asked not_ones_own hold_short_enough      | pauses handle                 | department assignee reporter
dispatched        | refuse          | dispatched        | leads             | reason          | something_asked not_ones_own                   |                               | department
handling          | refuse          | handling          | leads             | reason          | something_asked not_ones_own                   |                               | department
department_review | refuse          | department_review | leads             | reason          | something_asked not_ones_own                   |                               | department
hold              | hold_over       | dispatched        | system            |                 | hold_date_came                                 | resumes handle                | department shift_lead
hold              | end_hold        | dispatched        | department leads  | reason          |                                                | resumes handle                | department shift_lead

closed            | appeal          | closed            | department        | reason          | was_overdue no_appeal_yet                      |                               | inspector
closed            | agree_appeal    | closed            | inspector leads   | note            | appeal_new not_the_appellant                   |                               | inspector supervisor
closed            | grant_appeal    | closed            | inspector leads   | note            | appeal_agreed not_the_appellant other_reviewer |                               | department
closed            | refuse_appeal   | closed            | inspector leads   | reason          | appeal_open not_the_appellant                  |                               | department

reported          | supervise       | reported          | leads             | note            |                                                |                               | operator
verifying         | supervise       | verifying         | leads             | note            |                                                |                               | operator assignee
filed             | supervise       | filed             | leads             | note            |                                                |                               | dispatcher
dispatched        | supervise       | dispatched        | leads             | note            |                                                |                               | department
handling          | supervise       | handling          | leads             | note            |                                                |                               | department assignee
department_review | supervise       | department_review | leads             | note            |                                                |                               | department
feedback          | supervise       | feedback          | leads             | note            |                                                |                               | operator
checking          | supervise       | checking          | leads             | note            |                                                |                               | operator assignee
hold              | supervise       | hold              | leads             | note            |                                                |                               | department

reported          | join            | reported          | reporters         | note            |                                                |                               |
verifying         | join            | verifying         | reporters         | note            |                                                |                               | assignee
filed             | join            | filed             | reporters         | note            |                                                |                               |
dispatched        | join            | dispatched        | reporters         | note            |                                                |                               |
handling          | join            | handling          | reporters         | note            |                                                |                               | assignee
department_review | join            | department_review | reporters         | note            |                                                |                               | department
feedback          | join            | feedback          | reporters         | note            |                                                |                               |
checking          | join            | checking          | reporters         | note            |                                                |                               | assignee
hold              | join            | hold              | reporters         | note            |                                                |                               | department
"""  # noqa: E501 - a row is one line, so that the columns can be read down


def _row(line: str) -> Row:
    """One line as a row; ValueError where a word is not one of its column's."""
    before, step, after, who, needs, guards, turns, tells = (cell.strip() for cell in line.split("|"))
    return Row(
        None if before == "-" else State(before),
        Step(step),
        State(after),
        frozenset().union(*(_GROUPS[word] if word in _GROUPS else {Role(word)} for word in who.split())),
        tuple(Need(word) for word in needs.split()),
        tuple(Guard(word) for word in guards.split()),
        tuple(_turn(words) for words in turns.split(",") if words),
        tuple(Told(word) for word in tells.split()),
    )


def _turn(words: str) -> Turn:
    does, clock = words.split()
    return Turn(Does(does), Clock(clock))


_HEAD, *_LINES = filter(None, _TEXT.splitlines())

OPENING: Final = _row(_LINES[0])
ROWS: Final = tuple(_row(line) for line in _LINES[1:])

TABLE: Final[Mapping[tuple[State, Step], Row]] = {(row.before, row.step): row for row in ROWS if row.before is not None}
"""Every row but the opening one, by state and step."""
