"""The administrator's pages on the real API: accounts, keys, channels, rules on trial, the trail."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from console_world import ConsoleWorld
from playwright.sync_api import Page, expect

from cloud.accounts.accounts import Accounts
from cloud.accounts.roles import AccountRole, Grant

pytestmark = pytest.mark.integration

WORDS = "lamp cover toilet drain"


def give_account(real: ConsoleWorld, name: str, *roles: AccountRole) -> None:
    async def add(w: Any) -> None:
        await Accounts(w.services.engine, w.clock, w.services.accounts).add(name, WORDS, tuple(map(Grant, roles)), "陈主任")

    real.run(add)


@pytest.fixture
def chief(real: ConsoleWorld, real_page: Page) -> Page:
    """The page of an administrator who has logged in."""
    give_account(real, "chief", AccountRole.ADMIN)
    real_page.goto("/admin")
    real_page.get_by_label("用户名").fill("chief")
    real_page.get_by_label("密码").fill(WORDS)
    real_page.get_by_role("button", name="登录").click()
    expect(real_page.get_by_role("heading", name="系统管理")).to_be_visible()
    return real_page


def test_without_accounts_the_page_says_how_the_first_one_is_made(real_page: Page) -> None:
    real_page.goto("/admin/people")
    expect(real_page.get_by_test_id("section")).to_contain_text("citynerve cloud user add")
    expect(real_page.get_by_role("link", name="我的账号")).to_have_count(0)


def test_somebody_is_given_an_account_and_other_roles_and_is_shut_out(chief: Page, real: ConsoleWorld) -> None:
    chief.get_by_role("button", name="新建账号").click()
    form = chief.get_by_role("form", name="新建账号")
    form.get_by_label("用户名", exact=True).fill("Li.Wei")
    form.get_by_label("姓名").fill("李伟")
    form.get_by_label(re.compile("^密码")).fill("short")
    form.get_by_label("角色").select_option("crew")
    form.get_by_label("片区（空为全市）").fill("east")
    form.get_by_role("button", name="保存").click()
    expect(chief.get_by_test_id("section").get_by_role("alert")).to_contain_text("没有做成")
    form.get_by_label(re.compile("^密码")).fill(WORDS)
    form.get_by_role("button", name="保存").click()
    row = chief.get_by_role("row", name=re.compile("李伟"))
    expect(row).to_contain_text("li.wei")
    expect(row).to_contain_text("处置人员 east")
    row.get_by_role("button", name="停用").click()
    expect(row).to_contain_text("○ 停用")
    found = real.run(lambda w: Accounts(w.services.engine, w.clock, w.services.accounts).get("li.wei"))
    assert found.disabled


def test_nobody_shuts_themselves_out(chief: Page) -> None:
    row = chief.get_by_role("row", name=re.compile("陈主任"))
    expect(row.get_by_role("button", name="停用")).to_be_disabled()


def test_a_key_is_shown_once_and_opens_the_api_until_it_is_revoked(chief: Page, real: ConsoleWorld) -> None:
    chief.get_by_role("link", name="程序密钥").click()
    chief.get_by_role("button", name="新建密钥").click()
    chief.get_by_label("名称").fill("grafana")
    chief.get_by_role("button", name="新建", exact=True).click()
    token = chief.get_by_test_id("token").inner_text()
    headers = {"Authorization": f"Bearer {token}"}
    assert real.run(lambda w: w.get("/api/devices", **headers))["items"]
    row = chief.get_by_role("row", name=re.compile("grafana"))
    row.get_by_role("button", name="作废").click()
    row.get_by_role("button", name="作废").click()
    expect(row).to_contain_text("已作废")
    real.run(lambda w: w.get("/api/devices", status=401, **headers))
    chief.reload()
    expect(chief.get_by_role("row", name=re.compile("grafana"))).to_be_visible()
    expect(chief.get_by_test_id("token")).to_have_count(0)


def test_a_channel_is_tried_and_says_in_words_what_is_wrong(chief: Page) -> None:
    chief.get_by_role("link", name="通知通道").click()
    row = chief.get_by_role("row", name=re.compile("hook"))
    row.get_by_role("button", name="测试").click()
    expect(chief.get_by_test_id("tried")).to_contain_text("✗")
    expect(chief.get_by_test_id("tried")).not_to_contain_text("127.0.0.1:9/hook?")


def test_a_rule_is_tried_on_history_before_anybody_hears_of_it(chief: Page) -> None:
    chief.get_by_role("link", name="规则试算").click()
    chief.get_by_label("设备型号").select_option("cover_nbiot")
    chief.get_by_role("combobox", name="规则").select_option("cover_opened")
    chief.get_by_role("button", name="试算").click()
    expect(chief.get_by_test_id("trial")).to_contain_text(re.compile(r"30 天里会报 \d+ 次"))
    chief.get_by_role("button", name="改写规则").click()
    chief.get_by_label("改写的规则").fill("alarms: 7")
    chief.get_by_role("button", name="试算").click()
    expect(chief.get_by_test_id("section").get_by_role("alert")).to_contain_text("没有做成")


def test_matters_are_found_by_word_and_the_address_keeps_it(chief: Page) -> None:
    chief.get_by_role("link", name="事项").click()
    chief.get_by_label("找事项").fill("cover_displaced")
    expect(chief.get_by_test_id("section").get_by_role("row")).to_have_count(2)
    expect(chief).to_have_url(re.compile("q=cover_displaced"))


def test_the_trail_is_searched_by_who(chief: Page) -> None:
    chief.get_by_role("link", name="审计").click()
    expect(chief.get_by_test_id("trail")).to_contain_text("log_in")
    chief.get_by_label("谁").fill("nobody")
    chief.get_by_role("button", name="查").click()
    expect(chief.get_by_test_id("section")).to_contain_text("没有符合的记录")
    expect(chief).to_have_url(re.compile("actor=nobody"))


def test_one_changes_ones_own_password(chief: Page) -> None:
    chief.get_by_role("link", name="我的账号").click()
    chief.get_by_label("现在的密码").fill("not this one at all")
    chief.get_by_label(re.compile("^新密码")).fill("another lamp, another drain")
    chief.get_by_label("再输一次").fill("something else")
    expect(chief.get_by_test_id("section").get_by_role("alert")).to_contain_text("两次输入不同")
    chief.get_by_label("再输一次").fill("another lamp, another drain")
    chief.get_by_role("button", name="保存").click()
    expect(chief.get_by_test_id("section").get_by_role("alert")).to_contain_text("没有做成")
    chief.get_by_label("现在的密码").fill(WORDS)
    chief.get_by_role("button", name="保存").click()
    expect(chief.get_by_role("status").filter(has_text="密码已改")).to_be_visible()


def test_who_may_not_is_told_so(real: ConsoleWorld, real_page: Page) -> None:
    give_account(real, "li.wei", AccountRole.OPERATOR)
    real_page.goto("/admin/audit")
    real_page.get_by_label("用户名").fill("li.wei")
    real_page.get_by_label("密码").fill(WORDS)
    real_page.get_by_role("button", name="登录").click()
    expect(real_page.get_by_test_id("section")).to_contain_text("您的账号没有这个权限")


@pytest.mark.parametrize("section", ["people", "keys", "channels", "rules", "matters", "duty", "audit", "system", "me"])
def test_each_section_is_accessible_in_both_languages_and_themes(
    chief: Page, section: str, accessible: Callable[[Page], None]
) -> None:
    chief.goto(f"/admin/{section}")
    expect(chief.get_by_test_id("section").get_by_role("heading").first).to_be_visible()
    accessible(chief)
    chief.get_by_role("button", name="English").click()
    chief.get_by_role("button", name="Switch to light").click()
    expect(chief.get_by_role("heading", name="Administration")).to_be_visible()
    assert not re.search(r"[一-鿿]", chief.get_by_role("navigation", name="Sections").inner_text())
    accessible(chief)
