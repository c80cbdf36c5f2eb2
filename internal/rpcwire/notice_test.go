package rpcwire

import (
	"math"
	"net/rpc"
	"testing"
)

func read(notice rpc.Response) *Response {
	return &Response{ServiceMethod: notice.ServiceMethod, Seq: notice.Seq, Error: notice.Error}
}

func TestNoticesAreUnderstood(t *testing.T) {
	for _, last := range []uint64{0, 1, 300, math.MaxUint64} {
		for _, tt := range []struct {
			notice rpc.Response
			want   End
		}{
			{Drain(last), End{Last: last}},
			{Retire(last), End{Last: last, Alone: true}},
		} {
			if got, ok := ParseEnd(read(tt.notice)); !ok || got != tt.want || tt.notice.Seq != NoticeSeq {
				t.Errorf("%+v is read as %+v, %v", tt.notice, got, ok)
			}
		}
	}
}

// TestOtherNoticesSayNothing: a server that is newer may have more of them.
func TestOtherNoticesSayNothing(t *testing.T) {
	busy := Busy()
	for _, notice := range []rpc.Response{
		busy,
		{ServiceMethod: NoticeMethod},
		{ServiceMethod: NoticeMethod, Error: "drain"},
		{ServiceMethod: NoticeMethod, Error: "drain x"},
		{ServiceMethod: NoticeMethod, Error: "drain -1"},
		{ServiceMethod: NoticeMethod, Error: "retire 99999999999999999999"},
		{ServiceMethod: NoticeMethod, Error: "pause 5"},
		{ServiceMethod: "_rollcall.New", Error: "drain 5"},
	} {
		notice.Seq = NoticeSeq
		if end, ok := ParseEnd(read(notice)); ok {
			t.Errorf("%+v is read as %+v", notice, end)
		}
	}
}
