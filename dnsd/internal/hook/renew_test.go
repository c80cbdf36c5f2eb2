package hook

import "testing"

func TestBatchRenewalAnswersThoseUnknown(t *testing.T) {
	h := start(t, nil)
	h.put(a1, `{"port":1}`)
	h.put("/v1/services/_math._tcp/instances/a2", `{"port":1}`)
	a := h.do("POST", "/v1/renew", `{"instances":["_math._tcp/a1","_math._tcp/gone","_math._tcp/a2"]}`)
	if want := `{"revision":2,"renewed":2,"unknown":["_math._tcp/gone"]}` + "\n"; a.status != 200 || string(a.body) != want {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := h.do("POST", "/v1/renew", `{"instances":[]}`); string(a.body) != `{"revision":2,"renewed":0,"unknown":[]}`+"\n" {
		t.Errorf("none: %d %s", a.status, a.body)
	}
}

func TestBatchRenewalIsOfAnIncarnation(t *testing.T) {
	h := start(t, nil)
	h.put(a1, `{"port":1,"incarnation":7}`)
	for item, want := range map[string]string{
		"_math._tcp/a1":               `{"revision":1,"renewed":1,"unknown":[]}`,
		"_math._tcp/a1?incarnation=7": `{"revision":1,"renewed":1,"unknown":[]}`,
		"_math._tcp/a1?incarnation=6": `{"revision":1,"renewed":0,"unknown":[],"replaced":["_math._tcp/a1"]}`,
		"_math._tcp/a1?incarnation=8": `{"revision":1,"renewed":0,"unknown":["_math._tcp/a1"]}`,
		"_math._tcp/a2?incarnation=1": `{"revision":1,"renewed":0,"unknown":["_math._tcp/a2"]}`,
	} {
		if a := h.do("POST", "/v1/renew", `{"instances":["`+item+`"]}`); a.status != 200 || string(a.body) != want+"\n" {
			t.Errorf("%s: %d %s", item, a.status, a.body)
		}
	}
	for _, item := range []string{"_math._tcp/a1?", "_math._tcp/a1?incarnation=", "_math._tcp/a1?incarnation=-1", "_math._tcp/a1?fence=1"} {
		if a := h.do("POST", "/v1/renew", `{"instances":["_math._tcp/a1","`+item+`"]}`); a.status != 400 || a.problem(t).Field != "instances[1]" {
			t.Errorf("%s: %d %s", item, a.status, a.body)
		}
	}
}
